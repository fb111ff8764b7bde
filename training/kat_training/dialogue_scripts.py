"""The wordings of the agent dialogues: what is asked about an error, about the code, and about the test report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kat_training.sample import Language


@dataclass(frozen=True, slots=True)
class Script:
    """A dialogue in one wording: its three questions are format strings. The last one asks whether all is well."""

    name: str
    language: Language
    questions: tuple[str, str, str]


def _numbered(language: Language, scripts: tuple[tuple[str, str, str], ...]) -> tuple[Script, ...]:
    return tuple(Script(f"agent-{language}/{number}", language, each) for number, each in enumerate(scripts))


SCRIPTS: Final = (
    *_numbered("en", (
        ("line {line}: {error}: {message}\nWhich error is it?",
         "Code:\n{code}\nWhat is n in the last line?",
         "Tests: {passed} passed, {failed} failed. Did all pass?"),
        ("My script stopped at line {line} with {error}: {message}. Name the error.",
         "It runs this:\n{code}\nWhich value has n at the end?",
         "After the fix: {failed} failed, {passed} passed. Is everything green?"),
        ("Log: {error} ({message}), line {line}. What kind of error?",
         "Look at the code and tell me n where it fails:\n{code}",
         "pytest says {passed} passed, {failed} failed. All good?"),
        ("Read this: line {line}, {error}: {message}. What was raised?",
         "{code}\nHow large is n when the last line runs?",
         "The run shows {failed} failed and {passed} passed. Did the tests all pass?"),
        ("Traceback (most recent call last):\n  line {line}\n{error}: {message}\nWhich exception do you see?",
         "This is the source:\n{code}\nWhich n reaches the last line?",
         "FAILED: {failed}, PASSED: {passed}. Is the suite free of failures?"),
        ("i get '{error}: {message}' in line {line}. what is the error called?",
         "here is my code, what is n when it crashes?\n{code}",
         "now it says {failed} failed / {passed} passed. all fine?"),
        ("The job failed in line {line}. Its last words: {error}: {message}. Give the name of the exception.",
         "Please work out n just before the crash:\n{code}",
         "The new job reports {passed} passed and {failed} failed tests. Is it a full pass?"),
        ("stderr of the tool:\n{error}: {message} (line {line})\nError type?",
         "File:\n{code}\nValue of n at the failing line?",
         "stdout of the tests:\n{passed} passed, {failed} failed\nAll passed?"),
        ("A user sent this: {message} - {error}, line {line}. What error did the user meet?",
         "The program of the user:\n{code}\nTo what does n amount in the end?",
         "We mended it. Tests run: {total}, failures: {failed}. Can we ship with all tests passing?"),
        ("Python complains about line {line}: {error}, {message}. What does it raise?",
         "{code}\nPlease tell me n at the point of failure.",
         "I ran {total} tests again, {failed} of them failed. Did every test succeed?"),
        ("Q: which error is in the log?\n[{line}] {error}: {message}",
         "Q: what does n hold before the last line is run?\n{code}",
         "Q: {passed} ok, {failed} not ok - are all ok?"),
        ("Open the build log: line {line} raised {error} because of this: {message}. Report the type.",
         "Next, the module:\n{code}\nCompute n for its last line.",
         "Build finished with {failed} failed and {passed} passed checks. Is the build clean?"),
        ("Which exception stopped the worker? {error}: {message} at line {line}.",
         "The worker executes these lines. What number is n when it stops?\n{code}",
         "CI summary: total {total}, failed {failed}. Did CI pass?"),
        ("What's this error? \"{error}: {message}\", line {line}",
         "My snippet is below. How much is n at the end of it?\n{code}",
         "Test results came in: {passed} green, {failed} red. Is all of it green?"),
    )),
    *_numbered("zh", (
        ("第{line}行 {error}: {message}\n是什么错误？", "代码：\n{code}\n最后一行的 n 是几？",
         "测试：{passed} 通过，{failed} 失败。全过了吗？答是或否。"),
        ("日志：{error}（{message}），第{line}行。错误叫什么？", "{code}\n出错时 n 等于几？",
         "{failed} 失败，{passed} 通过。都通过了吗？答是或否。"),
        ("程序在第{line}行停了：{error}: {message}。说出错误名。", "程序是这样的：\n{code}\n最后 n 的值是多少？",
         "修好后再跑：{passed} 个通过，{failed} 个失败。全部通过了吗，是或否？"),
        ("报错 {error}: {message}，在{line}行。哪种错误？", "请看源码，崩溃前 n 是多少？\n{code}",
         "共 {total} 个测试，失败 {failed} 个。是不是全过？回答是或否。"),
        ("终端显示：\n{error}: {message}（行 {line}）\n抛出了什么？", "文件内容：\n{code}\n执行到最后一行时 n 为几？",
         "测试报告：失败 {failed}，成功 {passed}。全部成功吗？是/否"),
        ("帮我看下这个错：{message}，{error}，第{line}行。它的类型是？", "我的代码在下面，n 算到几才出错？\n{code}",
         "现在 {passed} 绿 {failed} 红，都是绿的吗？是或否。"),
        ("问：第{line}行的异常叫什么？{error}: {message}", "问：末行用到的 n 等于多少？\n{code}",
         "问：{total} 项检查有 {failed} 项没过，全过了吗？是还是否？"),
        ("构建失败，第{line}行：{error}，原因 {message}。报告异常名称。", "再看模块：\n{code}\n求最后一行里的 n。",
         "构建结束，{failed} 项失败，{passed} 项通过。一切通过了吗？请答是或否。"),
    )),
)  # fmt: skip

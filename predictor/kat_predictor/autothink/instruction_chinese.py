"""Chinese instructions about thinking: a phrase must not be a description, a noun phrase or the object of a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Found, opposite, rule, words_before

_STEPWISE: Final = r"(?:一步一步|一步步|逐步|逐层|按步骤|分步骤|分步)"
_WITH_CARE: Final = r"(?:仔细|认真|深入|深度|好好|慎重|谨慎|充分|反复|缜密|严谨|详细)"
_THINK: Final = r"(?:思考|推理|推导|思索|斟酌|推敲|琢磨|考虑|想一想|想清楚|想明白|想想|想)"
_REFUSAL: Final = r"(?:(?<!要)不要|(?<!用)不用|(?<!需要)不需要|不必|无需|无须|毋须|(?<![分特区级性类个])别|请勿|切勿|没必要|没有必要|用不着|跳过|省略|省去|免去|禁止|停止)"
_MUCH: Final = r"(?:再|去|进行|做|任何|过多的?|过度的?|太多的?|多余的?|深入的?|仔细的?|长时间的?|额外的?|浪费时间|花时间|给出|展示|输出|写出|解释|你的|一步一步的?|逐步的?)"
_ANSWER: Final = r"(?:最终|最后)?的?(?:答案|结果|结论|答复)"

_RULES: Final = (
    rule(
        Mode.ON,
        (
            rf"{_STEPWISE}[地的]?{_WITH_CARE}?[地的]?(?:思考|推理|推导|分析|想|计算|推算|解答|求解|论证|证明|解决|来|推|算)",
            rf"{_STEPWISE}$",
            rf"{_WITH_CARE}[地的]?(?:{_STEPWISE}[地的]?)?{_THINK}",
            r"(?:仔细|认真|深入|深度|充分)[地的]?分析",
            r"多(?:想想|想一想|想一会|思考|考虑|推敲|琢磨)",
            r"先(?:思考|推理|想一想|想想|想清楚|想好|分析)(?:一下|清楚)?(?:然后|之后|以后|再|后)",
            r"(?:思考|思考清楚|推理|想清楚|想好)(?:之后|以后|后|了)?再(?:回答|作答|给|告诉|说)",
            r"(?:展示|写出|给出|列出)(?:你的|完整的?|详细的?|全部)*(?:推理|思考|推导|思维)(?:过程|步骤)",
            r"(?:不要|别|不用)(?:急着|着急|急于)(?:回答|作答|给)",
        ),
    ),
    rule(
        Mode.OFF,
        (
            rf"{_REFUSAL}{_MUCH}{{0,3}}(?:思考|推理|推导|思索|深思熟虑|深思|思维链|分析|考虑太多|动脑)",
            rf"{_REFUSAL}{_MUCH}{{0,2}}想(?=$|太多|那么多|这么多|太久|了|直接|就|得太)",
            r"不(?:假|加|经)思[索考][地]?(?:就|直接|地)?(?:回答|作答|告诉|给|说)",
            rf"直接地?就?(?:告诉我|回答|作答|答复|答(?!案)|给我?出?(?:一个|个)?{_ANSWER}|说出?(?:答案|结果|结论)|说$|输出{_ANSWER}|写出?{_ANSWER}|报?上?答案)",
            r"(?:立即|立刻|马上|快速|迅速)地?(?:回答|作答|给出答案|告诉我答案)",
        ),
    ),
    rule(
        Mode.OFF,
        (
            rf"(?:只|仅|光)(?:需要?|要|用|回答|告诉我|输出|说|写|给我|给出|给)*{_ANSWER}(?:就行|即可|就好|就可以|就够)?了?$",
            r"(?:只|仅)(?:需要?|要|用)?回答(?:是|对|选项|字母|数字)",
        ),
        about_form=True,
    ),
)

_IS_NO_ORDER_AFTER: Final = re.compile(
    r"(?:这个|我的)?(?:问题|提问)?的(?!过程|步骤|话|情况下|方式|问题)|过(?!程)|法(?!$)|性|能力|技巧|了(?!再|之后|以后|然后|太多|就|$)|是|模型|[和与跟].{0,8}(?:区别|不同|差别|关系)"
)
_IS_NO_ORDER_BEFORE: Final = re.compile(
    r"如何|怎样|怎么|怎会|为什么|为何|什么是|何时|什么时候|学会|学习|培养|提高|锻炼|善于|关于|有关|要不要|用不用|该不该|需不需要"
    r"|(?:解释|介绍|定义|讨论|推荐|什么叫)(?:一下)?$"
)
_IS_ABOUT_WORDS: Final = re.compile(
    r"什么意思|的意思|怎么说|怎么写|怎么翻译|翻译成|这个词|这句话|这几个字|这种说法|英文|英语|法语|日语|德语|(?:需要|应该|值得|必须).*吗$"
)
_DESCRIBED: Final = re.compile(
    r"(?:他|她|它|(?<!让[我咱])们|人|用户|客户|玩家|读者|(?<![帮给替为跟和带教让])我|谁|学生|老师|孩子|作者|专家|大家)"
    r"(?:都|也|就|总是|总|经常|常常|正在|曾经|曾|会|会不会|还|才|已经|一直|需要|必须|应该|可以|喜欢|选择|决定)*$"
)
_NOT_DONE: Final = re.compile(r"(?:没有|没|从不|从未|并未|未|(?<![要用])不|却|拒绝|避免)$")
_NEGATED: Final = re.compile(
    r"(?:不要|不用|不需要|不必|无需|无须|(?<![分特区级性类个])别|请勿|切勿|勿|不能|不许|不得|不准|不应该|不应|没必要|禁止|不是[让叫要]你)"
    r"(?:再|去|只|就|总是|光|一上来就|一开始就|马上|立刻|给我|太|过于|过度|这么|那么|进行)*$"
)
_SEQUENCE: Final = re.compile(r"(?:然后|最后|之后|再|最终)(?:就|请|你)?$")


def find(clause: str) -> Iterator[Found]:
    """Instructions in one clause."""
    if _IS_ABOUT_WORDS.search(clause):
        return
    for each in _RULES:
        for match in each.phrase.finditer(clause):
            before = words_before(clause, match)
            negated = bool(_NEGATED.search(before))
            if _IS_NO_ORDER_BEFORE.search(before) or _IS_NO_ORDER_AFTER.match(clause, match.end()):
                continue
            if not negated and (_DESCRIBED.search(before) or _NOT_DONE.search(before)):
                continue
            if each.mode is Mode.OFF and not negated and _SEQUENCE.search(before):
                continue  # "……然后直接给出答案" says what comes after the thought
            yield Found(opposite(each.mode) if negated else each.mode, match.end(), each.about_form)

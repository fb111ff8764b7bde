// Reads the stream of an answer and shows judge, mode, thoughts, answer and figures as they come.
// Text of the model is only ever put into the page as text.
"use strict";

const root = document.getElementById("playground");
const texts = JSON.parse(root.dataset.texts);
const NOTHING = "–";
const at = (id) => document.getElementById(id);
const counted = new Intl.NumberFormat("en");
const RATING_TRIES = 60;
const RATING_PAUSE_MS = 500;
let running = null;

const say = (text, busy = false) => {
  at("state").textContent = text;
  at("state").toggleAttribute("data-busy", busy);
};

const now = (step) => {
  for (const each of document.querySelectorAll(".step")) each.toggleAttribute("data-now", each.id === `step-${step}`);
};

function clear() {
  for (const id of ["text-judge", "text-think", "text-answer", "mode", "count-prompt", "count-reasoning", "count-answer",
                    "count-control", "first-answer", "cost", "savings"]) at(id).textContent = NOTHING;
  for (const id of ["tokens-judge", "tokens-think", "tokens-answer", "source"]) at(id).textContent = "";
  at("basis").hidden = true;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const whole = rest.split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const data = event.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

class Answer {
  constructor() {
    this.started = performance.now();
    this.texts = { judge: "", think: "", answer: "" };
    this.decided = false;
    this.usage = null;
    this.id = null;
    this.reason = null;
  }

  add(segment, text) {
    // An empty line stands between judge and thoughts; neither needs it here.
    if (!this.texts[segment]) text = text.trimStart();
    if (!text) return;
    this.texts[segment] += text;
    at(`text-${segment}`).textContent = this.texts[segment];
    now(segment);
    say(texts[{ judge: "judging", think: "thinking", answer: "answering" }[segment]], true);
  }

  take(chunk) {
    if (chunk.error) throw chunk.error;
    this.id = chunk.id || this.id;
    if (chunk.kat) {
      this.decided = true;
      at("mode").textContent = texts[`mode.${chunk.kat.mode}`];
      at("source").textContent = texts[`source.${chunk.kat.mode_source}`];
      now("mode");
    }
    if (chunk.usage) this.usage = chunk.usage;
    const choice = (chunk.choices || [])[0];
    if (!choice) return;
    this.reason = choice.finish_reason || this.reason;
    if (choice.delta.reasoning) this.add(this.decided ? "think" : "judge", choice.delta.reasoning);
    if (choice.delta.content) {
      if (!this.texts.answer) {
        at("first-answer").textContent = `${((performance.now() - this.started) / 1000).toFixed(2)} s`;
      }
      this.add("answer", choice.delta.content);
    }
  }

  count() {
    if (!this.usage) return;
    const segments = this.usage.kat_segments;
    const number = (value) => counted.format(value);
    for (const name of ["judge", "think", "answer"]) at(`tokens-${name}`).textContent = number(segments[name]);
    at("count-prompt").textContent = number(segments.prompt + segments.prompt_cached);
    at("count-reasoning").textContent = number(segments.judge + segments.think);
    at("count-answer").textContent = number(segments.answer);
    at("count-control").textContent = number(segments.control);
  }
}

function bill(rated) {
  const amount = (value, none) => (value === null ? none : `${value} ${rated.currency}`);
  at("cost").textContent = amount(rated.cost, texts.unpriced);
  at("savings").textContent = amount(rated.savings, texts.no_saving);
  if (rated.basis) {
    at("basis").textContent = texts[`basis.${rated.basis}`];
    at("basis").hidden = false;
  }
  at("bill-note").textContent = texts.per_million.replace("{baseline}", rated.baseline);
}

async function rate(id, signal) {
  at("cost").textContent = texts.rating;
  at("savings").textContent = texts.rating;
  for (let tries = 0; tries < RATING_TRIES; tries += 1) {
    const response = await fetch(`${root.dataset.base}/playground/requests/${id.replace(/^chatcmpl-/, "")}`, { signal });
    if (response.status === 200) return bill(await response.json());
    if (response.status !== 204) break;
    await new Promise((resolve) => setTimeout(resolve, RATING_PAUSE_MS));
  }
  at("cost").textContent = texts.not_rated;
  at("savings").textContent = texts.not_rated;
}

async function ask(form, signal) {
  const answer = new Answer();
  const asked = new FormData(form);
  try {
    const response = await fetch(`${root.dataset.base}/playground/answers`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Form-Token": root.dataset.formToken },
      body: JSON.stringify({
        model: asked.get("model"),
        prompt: asked.get("prompt"),
        mode: asked.get("mode"),
        max_tokens: Number(asked.get("max_tokens")),
      }),
      signal,
    });
    if (!response.ok || response.redirected) throw {};
    for await (const chunk of events(response)) answer.take(chunk);
    answer.count();
    say(answer.reason === "length" ? texts.limit_reached : texts.done);
  } catch (error) {
    if (!signal.aborted) {
      say(`${texts.failed} ${error.message || texts[error.code] || ""}`.trim());
      return;
    }
    say(texts.stopped);
  } finally {
    now(null);
  }
  // Of a stopped answer too, what was generated is billed.
  if (answer.id) await rate(answer.id);
}

async function send(event) {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  at("send").disabled = true;
  at("stop").disabled = false;
  clear();
  say(texts.asking, true);
  try {
    await ask(at("ask"), running.signal);
  } finally {
    running = null;
    at("send").disabled = false;
    at("stop").disabled = true;
  }
}

at("ask").addEventListener("submit", send);
at("stop").addEventListener("click", () => running && running.abort());
at("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});

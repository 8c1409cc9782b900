// Chat with a model of this server. Whatever a model says is put in as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const form = $("ask"), words = $("words"), send = $("send"), stop = $("stop"), model = $("model");
const answers = $("answers"), welcome = $("welcome");
let said = []; // the conversation, as the server is told it
let asking = null; // what ends the answer on its way

const seconds = (value) => (value < 1 ? `${(1000 * value).toPrecision(3)} ms` : `${value.toPrecision(3)} s`);
const rate = (value) => `${value >= 100 ? Math.round(value) : value.toPrecision(3)} tokens/s`;
const bytes = (value) => (value >= 1e9 ? `${(value / 1e9).toPrecision(3)} GB` : `${(value / 1e6).toPrecision(3)} MB`);

// Figure → its name, how it is written, and where it is measured.
const FIGURES = [
  ["first token", "seconds_to_first_token", seconds, "seconds_to_first_token"],
  ["writing", "decode_tokens_per_second", rate, "decode_tokens_per_second"],
  ["memory", "memory_bytes", bytes, "peak_memory_bytes"],
];

function turn(role, name) {
  const made = $("turn").content.firstElementChild.cloneNode(true);
  made.classList.add(role);
  made.querySelector("h2").textContent = name;
  answers.append(made);
  return made;
}

function fact(list, label, ...values) {
  const box = document.createElement("div");
  const term = document.createElement("dt");
  term.textContent = label;
  box.append(term);
  for (const value of values) {
    const line = document.createElement("dd");
    line.textContent = value;
    box.append(line);
  }
  list.append(box);
}

function showFigures(shown, usage, figures) {
  const list = shown.querySelector("dl");
  for (const [label, key, written, measuredAs] of FIGURES) {
    const predicted = figures.predicted?.[key], measured = figures.measured?.[measuredAs];
    if (measured == null && predicted == null) continue;
    fact(list, label, measured == null ? "not measured" : written(measured),
      predicted == null ? "not predicted" : `predicted ${written(predicted)}`);
  }
  const reused = usage.prompt_tokens_details?.cached_tokens;
  fact(list, "tokens", `${usage.completion_tokens} written`,
    `${usage.prompt_tokens} read${reused ? `, ${reused} known before` : ""}`);
  list.hidden = false;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

const atEnd = () => innerHeight + scrollY >= document.body.scrollHeight - 80;

function take(event, shown, answer) {
  if (event.error) throw new Error(event.error.message);
  const delta = event.choices?.[0]?.delta;
  const follow = atEnd();
  if (delta?.reasoning_content) {
    const details = shown.querySelector("details");
    details.hidden = false;
    details.querySelector("p").textContent += delta.reasoning_content;
  }
  if (delta?.content) {
    answer.text += delta.content;
    shown.querySelector(".text").textContent = answer.text;
  }
  if (event.usage && event.fathom) showFigures(shown, event.usage, event.fathom);
  if (follow) scrollTo({ top: document.body.scrollHeight });
}

async function ask(text) {
  welcome?.remove();
  turn("user", "You").querySelector(".text").textContent = text;
  said.push({ role: "user", content: text });
  const shown = turn("assistant", model.value);
  const answer = { text: "" };
  shown.classList.add("writing");
  scrollTo({ top: document.body.scrollHeight });
  asking = new AbortController();
  busy(true);
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: model.value, messages: said, stream: true, stream_options: { include_usage: true } }),
      signal: asking.signal,
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const event of events(response)) take(event, shown, answer);
  } catch (error) {
    if (error.name !== "AbortError") {
      shown.classList.add("failed");
      shown.querySelector(".text").textContent = `${answer.text}\n${error.message}`.trim();
    }
  }
  shown.classList.remove("writing");
  if (answer.text) said.push({ role: "assistant", content: answer.text });
  else said.pop();
  asking = null;
  busy(false);
}

function busy(is) {
  stop.hidden = !is;
  send.hidden = is;
  if (!is) words.focus();
}

function fitHeight() {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight}px`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = words.value.trim();
  if (!text || asking || !model.value) return;
  words.value = "";
  fitHeight();
  ask(text);
});
words.addEventListener("input", fitHeight);
words.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") asking?.abort();
});
stop.addEventListener("click", () => asking?.abort());
$("anew").addEventListener("click", () => {
  asking?.abort();
  said = [];
  answers.replaceChildren();
  words.focus();
});
for (const button of document.querySelectorAll(".suggestion")) {
  button.addEventListener("click", () => ask(button.textContent));
}
words.focus();

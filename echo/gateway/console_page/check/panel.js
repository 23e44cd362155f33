// "Check this path": the button, what it starts and stops, and the text beside it. The checks are only loaded on demand,
// since most visitors do not run them.

import { at, on } from "../page.js";
import { listed } from "./words.js";
import { save } from "./save.js";
import { View } from "./view.js";

const SECOND = 1_000; // Milliseconds.

let running = null; // Its AbortController.
let report = null; // The last one.

/** Make the button and its card work. */
export function offerCheck() {
  on("check", "click", () => (running ? running.abort() : check()));
  on("check-save", "click", () => save(report));
  on("check-hide", "click", () => {
    at("check-card").hidden = true;
    at("check").focus();
  });
}

async function check() {
  const mine = new AbortController();
  running = mine;
  at("check").textContent = "Stop checking";
  begin();
  let view = null;
  const ticking = setInterval(() => view?.tick(), SECOND);
  try {
    const [{ Survey }, advice] = await Promise.all([import("./survey.js"), advised(mine.signal)]);
    view = new View(at("check-table"));
    const survey = new Survey(view, advice);
    view.show(survey.checks);
    say(`Running ${survey.checks.length} checks, which takes about 15 seconds.`);
    report = await survey.run(mine.signal);
    view.conclude(report.checks);
    say(summary(report, mine.signal.aborted), tone(report));
    at("check-save").hidden = false;
  } catch (error) {
    say(mine.signal.aborted ? "Stopped." : `The checks failed: ${error.message}`, mine.signal.aborted ? "" : "bad");
  } finally {
    clearInterval(ticking);
    at("check").textContent = "Check this path";
    at("check-hide").hidden = false;
    running = null;
  }
}

function begin() {
  report = null;
  at("check-table").tBodies[0].replaceChildren();
  for (const id of ["check-save", "check-hide"]) at(id).hidden = true;
  at("check-card").hidden = false;
  say("Loading the checks…");
}

function say(text, tone = "") {
  at("check-summary").textContent = text;
  at("check-summary").dataset.tone = tone;
}

async function advised(signal) {
  const response = await fetch(new URL("advice.json", import.meta.url), { signal });
  if (!response.ok) throw new Error(`advice.json: HTTP ${response.status}`);
  return response.json();
}

/** Such as "21 survived, 1 broken, 11 skipped; 12.3 s. Look at ws-close." */
function summary({ counts, seconds, path, checks }, stopped) {
  const known = Object.entries(counts).filter(([, count]) => count);
  const bad = checks.filter(({ outcome }) => outcome === "broken" || outcome === "limited").map(({ name }) => name);
  const sentences = [`${known.map(([outcome, count]) => `${count} ${outcome}`).join(", ")}; ${seconds.toFixed(1)} s.`];
  if (stopped) sentences.unshift("Stopped.");
  if (bad.length) sentences.push(`Look at ${listed(bad)}.`);
  if (path.hops_guess.length) sentences.push(`On the way: ${listed(path.hops_guess)}.`);
  return sentences.join(" ");
}

const tone = ({ counts }) => (counts.broken ? "bad" : counts.limited || counts.inconclusive ? "fair" : "good");

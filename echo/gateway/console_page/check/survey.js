// The survey: all checks under one signal and one time limit, and each under its own. Checks that wait begin at once and run
// throughout; the others run a few at a time, then one by one. A check with a bad outcome in company is tried once more: in
// a busy browser it may just have lacked time. If it survives then, it has survived. Does not touch the page.

import { explore } from "./facts.js";
import { OUTCOMES, inconclusive, skipped } from "./finding.js";
import { DIRECT, OUT_OF_TIME } from "./only_here.js";
import { Path } from "./path.js";
import { ALONE, BESIDE, CHECKS, LAST, WAITING } from "./table.js";
import { inTurn, now, together, until, within } from "./time.js";
import { route } from "../routes.js";

const SIDE_BY_SIDE = 3; // Checks at once; a browser makes few requests at once, and checks must not wait for each other.
const TOTAL = 30; // Seconds for everything; a path that breaks nothing takes 12.
const AGAIN = 0.15; // Fraction of them for second tries.
const BAD = ["broken", "limited"];
const VERSION = 1; // Of the report.

const STOPPED = "It was stopped before it finished.";

export class Survey {
  #audience;
  #advice;
  #results = new Map();
  #settled = new Map(); // Name -> a promise that the check has its outcome, and its resolver.
  #facts = null;
  #path;

  /**
   * @param {{begin: (name: string) => void, end: (result: object) => void}} audience Is notified of progress.
   * @param {{causes: object, messages: object}} advice Lines of advice, by check and cause, and by words of a finding.
   * @param {{only?: string[], idle?: number}} options Which checks; the longest silence in seconds.
   */
  constructor(audience, advice, { only = null, idle = 10 } = {}) {
    this.#audience = audience;
    this.#advice = advice;
    this.#path = new Path(idle);
    this.checks = CHECKS.filter(({ name }) => only === null || only.includes(name));
    for (const { name } of this.checks) this.#settled.set(name, settled());
  }

  /** Run the checks; abort the signal to stop. Returns the report either way. */
  async run(signal) {
    const [started, began] = [new Date(), now()];
    for (const { name, why } of this.checks) if (why) this.#conclude(name, skipped(why), 0);
    let missing = OUT_OF_TIME;
    try {
      await within(signal, TOTAL, (inner) => this.#runAll(inner));
    } catch (error) {
      if (!signal.aborted) throw error;
      missing = STOPPED;
    }
    for (const { name } of this.checks) if (!this.#results.has(name)) this.#conclude(name, inconclusive(missing), 0);
    return this.#document(started, now() - began);
  }

  #runAll(signal) {
    return together(signal, [
      (inner) => this.#explore(inner),
      ...this.#of(WAITING).map((check) => (inner) => this.#run(inner, check)),
      async (inner) => {
        // Other checks wait for these, so they must not wait for a place.
        const first = this.#of(BESIDE).filter(({ name }) => NEEDED.has(name));
        await together(inner, first.map((check) => (one) => this.#run(one, check)));
        const rest = this.#of(BESIDE).filter(({ name }) => !NEEDED.has(name));
        await inTurn(inner, rest.map((check) => (one) => this.#run(one, check)), SIDE_BY_SIDE);
        await within(inner, TOTAL * AGAIN, (limit) => this.#retryBad(limit, rest));
        for (const check of [...this.#of(ALONE), ...this.#of(LAST)]) await this.#run(inner, check);
      },
    ]);
  }

  #of(company) {
    return this.checks.filter((check) => check.company === company);
  }

  async #explore(signal) {
    this.#facts = await within(signal, 10, (inner) => explore(inner, this.#path)).catch((error) => {
      signal.throwIfAborted();
      console.debug("the path could not be explored", error);
      return null;
    });
  }

  async #run(signal, check) {
    for (const need of check.needs) await until(signal, (done) => this.#settled.get(need)?.promise.then(done) ?? done());
    const began = now();
    this.#audience.begin(check.name);
    let finding = this.#skipReason(check) ?? (await this.#ask(signal, check));
    // Other checks would be skipped because of it.
    if (NEEDED.has(check.name) && finding.outcome === "broken") finding = await this.#retriedFinding(signal, check, finding);
    this.#conclude(check.name, finding, now() - began);
  }

  /** Try again the checks with a bad outcome in company. */
  #retryBad(signal, checks) {
    const bad = checks.filter(({ name }) => BAD.includes(this.#results.get(name)?.finding.outcome));
    return inTurn(signal, bad.map((check) => (one) => this.#retry(one, check)), SIDE_BY_SIDE);
  }

  async #retry(signal, check) {
    const [began, before] = [now(), this.#results.get(check.name)];
    const finding = await this.#retriedFinding(signal, check, before.finding);
    if (finding !== before.finding) this.#conclude(check.name, finding, before.seconds + now() - began);
  }

  /** The finding of a second try if that survived, or else the first one. */
  async #retriedFinding(signal, check, before) {
    const again = await this.#ask(signal, check);
    if (again.outcome !== "survived") return before;
    const sentence = `${again.sentence.replace(/\.$/, "")}, but only on the second try.`;
    return { ...again, sentence, details: { ...again.details, at_first: before.sentence } };
  }

  /** Why a check is skipped; null if it is not. */
  #skipReason({ needs }) {
    for (const name of needs) {
      const outcome = this.#results.get(name)?.finding.outcome;
      // Where no WebSocket opens, checks of WebSockets would only wait, and take the time of others.
      if (outcome === "broken" || (outcome === "inconclusive" && name === "ws-upgrade"))
        return skipped(`It was not run because ${name} is ${outcome}.`);
    }
    return null;
  }

  async #ask(signal, { name, run, patience, company }) {
    const seconds = patience + (company === WAITING ? this.#path.idle : 0);
    try {
      const late = inconclusive(`It did not finish within ${seconds} s.`);
      return await within(signal, seconds, (inner) => run(inner, this.#path), late);
    } catch (error) {
      signal.throwIfAborted();
      console.debug(name, error);
      return inconclusive(`The check itself failed: ${inWords(error)}.`);
    }
  }

  #conclude(name, finding, seconds) {
    const advice = this.#advised(name, finding);
    // `--direct` is an option of the command line.
    finding.sentence = finding.sentence.replace(/--direct\b/, DIRECT);
    const result = { name, finding, advice, seconds };
    this.#results.set(name, result);
    this.#settled.get(name).resolve();
    this.#audience.end(result);
  }

  /** What a hop has said of itself comes before what may be the cause. */
  #advised(name, { outcome, cause, sentence }) {
    const { causes, messages } = this.#advice;
    const said = outcome === "survived" ? [] : Object.keys(messages).filter((words) => sentence.includes(words));
    return said.length ? messages[said[0]] : (causes[name]?.[cause] ?? []);
  }

  /** The report as JSON has it. */
  #document(started, seconds) {
    const url = route("").href.replace(/\/$/, "");
    const results = this.checks.map(({ name }) => this.#results.get(name));
    const counts = Object.fromEntries(
      OUTCOMES.map((outcome) => [outcome, results.filter(({ finding }) => finding.outcome === outcome).length]),
    );
    const facts = this.#facts ?? { protocol: null, added_headers: [], hops_guess: [] };
    const likely = (line) => facts.hops_guess.includes(line.split(":")[0]);
    return {
      version: VERSION,
      target: url,
      gateway: url,
      direct: [],
      started: started.toISOString().replace(/\.\d+Z$/, "Z"),
      seconds: Number(seconds.toFixed(3)),
      path: {
        protocol: facts.protocol,
        tls: null, // A page is not told.
        settings: {},
        instances: [...this.#path.instances].sort(),
        added_headers: facts.added_headers,
        hops_guess: facts.hops_guess,
      },
      checks: results.map(({ name, finding, advice, seconds: took }) => ({
        ...{ name, outcome: finding.outcome, finding: finding.sentence, limit: finding.limit, unit: finding.unit },
        details: finding.details,
        advice: [...advice.filter(likely), ...advice.filter((line) => !likely(line))],
        seconds: Number(took.toFixed(3)),
      })),
      counts,
    };
  }
}

const inWords = ({ name, message }) => (message ? `${name} (${message})` : name);

const NEEDED = new Set(CHECKS.flatMap(({ needs = [] }) => needs));

function settled() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

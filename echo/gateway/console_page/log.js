// The list of messages, newest first: bounded, and drawn rarely enough that a burst neither overloads it nor is slowed by it.

import { count, duration, size, timeOfDay } from "./format.js";

const KEPT = 500;
const BREATH = 100; // Milliseconds between drawings; without a pause, drawing would lengthen a burst's round trips.
const SHOWN = 400; // The most characters shown of a message.

export class Log {
  #list;
  #more;
  #due = []; // Not drawn yet, at most KEPT.
  #total = 0;
  #frame = 0;
  #drawnAt = -BREATH;
  #reading = false; // The user has scrolled away from the newest.

  /** @param {HTMLElement} list Takes the entries. @param {HTMLElement} more Says which they are. */
  constructor(list, more) {
    this.#list = list;
    this.#more = more;
    list.addEventListener("scroll", () => {
      this.#reading = list.scrollTop > 0;
    });
    this.clear();
  }

  /**
   * Add an entry.
   *
   * @param {"sent" | "received" | "event"} kind Where it went.
   * @param {string} text What it says.
   * @param {{size?: number, rtt?: number, gap?: number, verdict?: string, tone?: string}} details Size in bytes, times in ms.
   */
  add(kind, text, details = {}) {
    this.#total += 1;
    this.#due.push({ kind, text, details, at: new Date() });
    if (this.#due.length > 2 * KEPT) this.#due.splice(0, this.#due.length - KEPT);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  clear() {
    this.#due.length = 0;
    this.#total = 0;
    this.#list.replaceChildren();
    this.#more.textContent = "newest first";
  }

  #draw() {
    const now = performance.now();
    if (now - this.#drawnAt < BREATH) {
      this.#frame = requestAnimationFrame(() => this.#draw());
      return;
    }
    this.#drawnAt = now;
    this.#frame = 0;
    const list = this.#list;
    const rows = this.#due.splice(0).slice(-KEPT).map(row).reverse();
    const surplus = list.childElementCount + rows.length - KEPT;
    for (let gone = 0; gone < surplus; gone += 1) list.lastElementChild.remove();
    const first = this.#reading ? list.firstElementChild : null;
    const before = first?.getBoundingClientRect().top;
    list.prepend(...rows);
    if (first) list.scrollTop += first.getBoundingClientRect().top - before; // Keep what the user is reading in place.
    const hidden = this.#total - list.childElementCount;
    this.#more.textContent = hidden > 0 ? `last ${KEPT} of ${count(this.#total)}, newest first` : "newest first";
  }
}

const ARROWS = { sent: "↑", received: "↓", event: "•" };

function row({ kind, text, details, at }) {
  const item = document.createElement("li");
  item.className = `row ${kind} ${details.tone ?? ""}`;
  const arrow = part("arrow", ARROWS[kind]);
  arrow.setAttribute("role", "img");
  arrow.setAttribute("aria-label", kind);
  const cut = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  item.append(part("time", timeOfDay(at)), arrow, content(kind, cut, text));
  const facts = [];
  if (details.verdict) facts.push(details.verdict);
  if (Number.isFinite(details.rtt)) facts.push(duration(details.rtt));
  else if (Number.isFinite(details.gap)) facts.push(`+${duration(details.gap)}`);
  if (details.size !== undefined) facts.push(size(details.size));
  item.append(part("facts", facts.join(" · ")));
  return item;
}

/** Both forms of an entry, in short and as on the wire; the list's class shows one of them. */
function content(kind, cut, text) {
  const node = part("text", "");
  const wire = part("wire", cut || "(empty message)");
  const short = kind === "event" ? null : inShort(text);
  node.append(...(short ? [short, wire] : [wire]));
  if (short) node.classList.add("both");
  return node;
}

function inShort(text) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    return null;
  }
  const words = said?.response ?? said?.message;
  if (typeof words !== "string") return null;
  const short = part("short", "");
  const id = said.stream_id ?? said.streamId;
  short.append(part("number", `${said.sequence_number ?? ""}`), part("id", id ? `${id} ` : ""), words.slice(0, SHOWN));
  return short;
}

function part(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}

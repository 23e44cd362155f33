// The console: ties the page to one WebSocket at a time, and to the gateway's plain HTTP.
//
// session.js holds the socket and counts (measures.js); log.js, figures.js and plot.js show it; burst.js sends many messages;
// close.js explains how a socket ended, reach.js why it did not open; unary.js is the form for unary calls; http.js makes
// them and asks for readiness; routes.js knows the URLs; settings.js keeps what was chosen; page.js has the page's elements.
// check/ is "Check this path".

import { Burst } from "./burst.js";
import { offerCheck } from "./check/panel.js";
import { meaning } from "./close.js";
import { duration } from "./format.js";
import { Figures } from "./figures.js";
import { watchReadiness } from "./http.js";
import { Log } from "./log.js";
import { at, closeCodeIn, complain, enable, numberIn, on, settle, settleOnInput, tell } from "./page.js";
import { diagnose } from "./reach.js";
import { socketRoute } from "./routes.js";
import { Session } from "./session.js";
import { shareSettings, themeButton } from "./settings.js";
import { offerUnaryCall } from "./unary.js";

const READINESS_EVERY = 5_000; // Milliseconds.
const STABLE = 10_000; // Milliseconds after which a connection counts as stable, and the pauses for reconnecting start over.
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;
const MOST_MESSAGES = 100_000;
const LARGEST = 16 << 20; // Bytes; well above the gateway's own limit, so that users can exceed that.

const HINTS = {
  bidirectional: "Each message is answered at once, and the answers are numbered. Half-close to end the call normally.",
  server: "One message is answered five times, a second apart: if all five come at once, something buffers.",
  client: "Nothing is answered until you half-close; then one summary says how many messages came.",
};

const IDLE_HINT =
  "To find an idle timeout, send nothing and leave this open: the clocks count on. " +
  "(The gateway pings every 27 s, which a proxy may take for life.)";

const HALF_CLOSED_HINT = "Nothing more can be sent. Pending answers still arrive, and then the call ends.";
const HALF_CLOSED = "This stream is half-closed, so nothing more can be sent on it. Reconnect to start another.";

const log = new Log(at("log"), at("log-more"));
const figures = new Figures(() => ({ session, reconnects }));

let session = null;
let queued = null; // Called as soon as the socket is open.
let burst = null; // The last one.
let reconnects = 0;
let wait = FIRST_WAIT;
let waiting = 0; // The timer of a reconnect.

// Connecting

function chosen() {
  return new FormData(at("connection")).get("stream");
}

function connect() {
  clearTimeout(waiting);
  waiting = 0;
  for (const form of ["connection", "message-form"]) settle(form);
  tell("burst-result", "");
  const mine = new Session(chosen(), (kind, details) => {
    if (mine === session) heard[kind](details);
  });
  session = mine;
  const { pathname } = socketRoute(mine.stream);
  say("busy", "Connecting…", pathname);
  log.add("event", `connecting to ${pathname}`);
  draw();
}

/** Do something with an open socket, opening one first if there is none. */
function withSocket(action) {
  if (session?.open) {
    action();
    return;
  }
  queued = action;
  if (!session?.connecting) {
    reconnects = 0;
    connect();
  }
}

const heard = {
  open() {
    say("good", "Connected", IDLE_HINT);
    log.add("event", `open after ${duration(session.openedAt - session.startedAt)}`, { tone: "good" });
    const action = queued;
    queued = null;
    action?.();
    draw();
  },
  sent({ text, size, halfClose }) {
    log.add("sent", text, { size, verdict: halfClose ? "half-close" : "" });
    draw();
  },
  halfClosed() {
    const cut = shortfall();
    say(cut ? "fair" : "good", "Half-closed", `${HALF_CLOSED_HINT}${cut}`);
  },
  message({ text, size, rtt, gap, verdict }) {
    log.add("received", text, { size, rtt, gap, verdict, tone: verdict ? "bad" : "" });
    draw();
  },
  close(end) {
    const { title, text, tone } = meaning(end);
    const { code, reason, opened } = end;
    const cut = shortfall();
    const name = code === null ? title : `closed ${code}`;
    queued = null;
    say(cut && tone === "good" ? "fair" : tone, code === null ? capital(title) : `${code} ${title}`, `${text}${cut}`);
    log.add("event", `${name}${reason ? `: ${reason}` : ""}`, { tone });
    if (opened && session.closedAt - session.openedAt > STABLE) wait = FIRST_WAIT;
    if (!opened && !end.left) explainFailure(session, text);
    if (at("reconnect").checked && !end.ours && code !== 1000) reconnectLater();
    draw();
  },
};

/** The sentence about an unfinished burst on this session, to add where the session's end is explained. */
function shortfall() {
  return burst?.session === session && burst.cutShort ? ` ${burst.account}` : "";
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

async function explainFailure(failed, text) {
  const why = await diagnose(failed.stream);
  if (failed !== session) return;
  at("explanation").textContent = `${text} ${why}`;
  log.add("event", why, { tone: "bad" });
}

function reconnectLater() {
  log.add("event", `connecting again in ${duration(wait)}`);
  waiting = setTimeout(() => {
    reconnects += 1;
    connect();
  }, wait);
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

// Showing

function say(tone, headline, explanation) {
  at("state").dataset.tone = tone;
  at("headline").textContent = headline;
  at("explanation").textContent = explanation;
}

function draw() {
  const open = session?.open ?? false;
  const under = open || (session?.connecting ?? false);
  at("connect").textContent = under ? "Reconnect" : "Connect";
  at("connect").classList.toggle("primary", !open);
  enable("half-close", open && !session.halfClosed);
  enable("close", open);
  enable("leave", under);
  figures.draw();
}

// What people do

on("connection", "submit", () => {
  if (session && !session.closed) session.leave();
  reconnects = 0;
  wait = FIRST_WAIT;
  connect();
});
on("half-close", "click", () => session.halfClose());
on("close", "click", () => {
  const code = closeCodeIn("close-code");
  if (code !== null) session.close(code);
});
on("leave", "click", () => session.leave());

for (const choice of at("connection").elements.stream) {
  choice.addEventListener("change", () => {
    at("stream-hint").textContent = HINTS[chosen()];
    clearTimeout(waiting);
    if (session && !session.closed) session.leave();
  });
}
at("reconnect").addEventListener("change", () => clearTimeout(waiting));

function showRaw() {
  const raw = at("raw").checked;
  at("fields").hidden = raw;
  at("raw-field").hidden = !raw;
}
at("raw").addEventListener("change", showRaw);
at("raw-text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("message-form").requestSubmit();
});

/** Whether the form can be used: not after a half-close. */
function sendable(form) {
  const ended = session?.open && session.halfClosed;
  if (ended) complain(form, HALF_CLOSED);
  return !ended;
}

on("message-form", "submit", () => {
  settle("message-form");
  if (!sendable("message-form")) return;
  const raw = at("raw").checked ? at("raw-text").value : null;
  const streamId = at("stream-id").value;
  const message = at("message").value;
  withSocket(() => (raw === null ? session.say(streamId, message) : session.sendRaw(raw)));
});

on("burst-form", "submit", () => {
  if (burst?.state === "running") {
    burst.stop();
    return;
  }
  settle("burst-form");
  tell("burst-result", "");
  if (!sendable("burst-form")) return;
  const order = { streamId: at("stream-id").value || "a" };
  for (const [name, least, most, whole] of [
    ["count", 1, MOST_MESSAGES, true],
    ["every", 0, 60_000, false],
    ["size", 1, LARGEST, true],
    ["window", 1, MOST_MESSAGES, true],
  ]) {
    order[name] = numberIn(`burst-${name}`, least, most, whole);
    if (order[name] === null) return;
  }
  withSocket(() => runBurst(order));
});

async function runBurst(order) {
  const mine = new Burst(session, order);
  burst = mine;
  at("burst").textContent = "Stop";
  at("burst-progress").hidden = false;
  const progress = setInterval(() => {
    at("burst-progress").value = mine.part;
  }, 100);
  await mine.run();
  clearInterval(progress);
  const tone = mine.cutShort ? "bad" : "";
  log.add("event", mine.account, { tone });
  if (mine !== burst) return;
  at("burst-progress").hidden = true;
  at("burst-progress").value = 0;
  at("burst").textContent = "Send burst";
  if (mine.session === session) tell("burst-result", mine.account, tone);
}

on("clear", "click", () => log.clear());
on("wire", "change", () => at("log").classList.toggle("as-on-the-wire", at("wire").checked));

// Beginning

window.addEventListener("error", (event) => tell("fault", `The page failed: ${event.message}`));
window.addEventListener("unhandledrejection", (event) => tell("fault", `The page failed: ${event.reason}`));

at("host").textContent = location.host;
shareSettings(document.forms);
themeButton(at("theme"));
offerUnaryCall();
offerCheck();
for (const form of ["connection", "message-form", "burst-form"]) settleOnInput(form);
at("stream-hint").textContent = HINTS[chosen()];
showRaw();

let reasonSaid = "";
const askReadiness = watchReadiness(({ ready, reason }) => {
  at("readiness").dataset.tone = ready ? "good" : "bad";
  at("readiness-text").textContent = ready ? "Ready" : "Not ready";
  if (reason === reasonSaid) return; // Otherwise screen readers would read it out again.
  reasonSaid = reason;
  tell("readiness-reason", ready ? "" : `/readyz: ${reason}`);
}, READINESS_EVERY);
on("readiness", "click", askReadiness);

setInterval(() => {
  if (!document.hidden && session?.open) figures.drawClocks();
}, 1_000);
draw();

// The console: ties the page to one WebSocket at a time, and to the gateway's plain HTTP.
//
// session.js holds the socket and counts (measures.js); log.js, plot.js and this file show it; burst.js sends many;
// close.js knows what an end means; http.js calls and asks for readiness; settings.js keeps what was chosen.
// Whatever is drawn often is drawn at most once a frame.

import { burst } from "./burst.js";
import { diagnose, meaning } from "./close.js";
import { clock, count, duration } from "./format.js";
import { unary, watchReadiness } from "./http.js";
import { Log } from "./log.js";
import { RoundTrips } from "./measures.js";
import { Plot } from "./plot.js";
import { Session, addressOf } from "./session.js";
import { shareSettings, themeButton } from "./settings.js";

const at = (id) => document.getElementById(id);

const READINESS_EVERY = 5_000; // Milliseconds.
const STABLE = 10_000; // Milliseconds after which a connection counts as one, and waits for reconnecting start anew.
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;
const MOST_MESSAGES = 100_000;
const LARGEST = 16 << 20; // Bytes; well above the gateway's own limit, which is to be tried too.

const HINTS = {
  bidirectional: "Each message is answered at once, and the answers are numbered. Half-close to end in good order.",
  server: "One message is answered five times, a second apart: if all five come at once, something buffers.",
  client: "Nothing is answered until you half-close; then one summary says how many messages came.",
};

const IDLE_HINT =
  "To find an idle timeout, send nothing and leave this open: the clocks count on. " +
  "(The gateway pings every 27 s, which a proxy may take for life.)";

const log = new Log(at("log"), at("log-more"));
const plot = new Plot(at("plot"));

let session = null;
let queued = null; // To be sent as soon as the socket is open.
let reconnects = 0;
let wait = FIRST_WAIT;
let waiting = 0; // The timer of a reconnect.
let bursting = null; // An AbortController.

// Connecting

function chosen() {
  return new FormData(at("connection")).get("stream");
}

function connect() {
  clearTimeout(waiting);
  waiting = 0;
  const mine = new Session(chosen(), (kind, details) => {
    if (mine === session) heard[kind](details);
  });
  session = mine;
  say("busy", "Connecting…", addressOf(mine.stream).pathname);
  log.add("event", `connecting to ${addressOf(mine.stream).pathname}`);
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
  sent({ text, size }) {
    log.add("sent", text, { size });
    draw();
  },
  message({ text, size, rtt, gap, verdict }) {
    log.add("received", text, { size, rtt, gap, verdict, tone: verdict ? "bad" : "" });
    draw();
  },
  close(end) {
    const { title, text, tone } = meaning(end);
    const { code, reason, opened } = end;
    queued = null;
    say(tone, `${code} ${title}`, text);
    log.add("event", `closed ${code}${reason ? `: ${reason}` : ""}`, { tone });
    if (opened && session.closedAt - session.openedAt > STABLE) wait = FIRST_WAIT;
    if (!opened) explainFailure(session, text);
    if (at("reconnect").checked && !end.ours && code !== 1000) reconnectLater();
    draw();
  },
};

async function explainFailure(failed, text) {
  const why = await diagnose(addressOf(failed.stream));
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

let frame = 0;

/** Show the state of things in the next frame. */
function draw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawState();
    drawCounts();
    drawTrips();
  });
}

function drawState() {
  const open = session?.open ?? false;
  at("connect").textContent = open || session?.connecting ? "Reconnect" : "Connect";
  at("connect").classList.toggle("primary", !open);
  enable("half-close", open && !session.halfClosed);
  enable("close", open);
  enable("drop", open || (session?.connecting ?? false));
  drawClocks();
}

function drawClocks() {
  at("t-idle").textContent = session?.closed ? "Idle at the end" : "Idle for";
  if (!session || Number.isNaN(session.openedAt)) {
    for (const id of ["n-connected", "n-last", "n-idle"]) at(id).textContent = "–";
  } else {
    const until = session.closed ? session.closedAt : performance.now();
    const long = session.closed ? duration : clock;
    at("n-connected").textContent = long(until - session.openedAt);
    at("n-last").textContent = long(session.idle);
    at("n-idle").textContent = duration(Math.max(session.longestIdle, session.idle)).replace(/^\d.* ms$/, "under 1 s");
  }
  at("n-reconnects").textContent = count(reconnects);
}

function drawCounts() {
  const { sequence } = session ?? {};
  const unanswered = session?.unanswered ?? 0;
  at("t-unanswered").textContent = session?.open ? "In flight" : "Unanswered";
  at("n-sent").textContent = count(session?.sent ?? 0);
  at("n-received").textContent = count(session?.received ?? 0);
  at("n-unanswered").textContent = count(unanswered);
  at("n-unanswered").parentElement.toggleAttribute("data-found", Boolean(session?.closed) && unanswered > 0);
  for (const [id, number] of [
    ["n-missing", sequence?.missing],
    ["n-order", sequence?.outOfOrder],
    ["n-duplicate", sequence?.duplicates],
    ["n-changed", session?.changed],
  ]) {
    at(id).textContent = count(number ?? 0);
    at(id).parentElement.toggleAttribute("data-found", number > 0);
  }
}

let drawn = { trips: null, count: -1, at: 0 };
const none = new RoundTrips();

function drawTrips(anyway = false) {
  const trips = session?.trips ?? none;
  const now = performance.now();
  if (!anyway && drawn.trips === trips && drawn.count === trips.count) return;
  // Sorting ten thousand numbers for every frame would take the time that a burst's messages need.
  if (!anyway && drawn.trips === trips && now - drawn.at < 100) {
    setTimeout(draw, 100);
    return;
  }
  drawn = { trips, count: trips.count, at: now };
  const [p50, p99] = trips.percentiles(0.5, 0.99);
  at("n-p50").textContent = duration(p50);
  at("n-p99").textContent = duration(p99);
  at("n-max").textContent = duration(trips.max);
  at("n-trips").textContent = count(trips.count);
  const words = `${count(trips.count)} round trips: half within ${duration(p50)}, 99 % within ${duration(p99)}, at most ${duration(trips.max)}`;
  at("plot").setAttribute("aria-label", trips.count ? words : "No round trips yet");
  plot.draw(trips, p50, p99);
}

function enable(id, on) {
  // Not `disabled`, which would take the focus away from who uses the keyboard.
  at(id).setAttribute("aria-disabled", String(!on));
}

// What people do

function on(id, event, action) {
  at(id).addEventListener(event, (happened) => {
    if (event === "submit") happened.preventDefault();
    if (happened.currentTarget.getAttribute("aria-disabled") !== "true") action(happened);
  });
}

/** The number in a field; complains, and gives null, if there is none or it is not within the bounds. */
function numberIn(id, least, most, whole = true) {
  const field = at(id);
  const number = field.value.trim() === "" ? NaN : Number(field.value);
  const fine = number >= least && number <= most && (!whole || Number.isInteger(number));
  field.setAttribute("aria-invalid", String(!fine));
  if (fine) return number;
  const name = field.closest("label").querySelector("span").firstChild.textContent.trim();
  complain(`“${name}” takes ${whole ? "a whole number" : "a number"} from ${count(least)} to ${count(most)}.`);
  field.focus();
  return null;
}

let complaint = 0;

function complain(text) {
  clearTimeout(complaint);
  at("fault").textContent = text;
  at("fault").hidden = false;
  complaint = setTimeout(() => {
    at("fault").hidden = true;
  }, 8_000);
}

on("connection", "submit", () => {
  bursting?.abort();
  if (session && !session.closed) session.drop();
  reconnects = 0;
  wait = FIRST_WAIT;
  connect();
});
on("half-close", "click", () => session.halfClose());
on("close", "click", () => {
  const code = numberIn("close-code", 1000, 4999);
  if (code === null) return;
  if (code !== 1000 && code < 3000) {
    at("close-code").setAttribute("aria-invalid", "true");
    complain("A page may close with 1000, or with 3000 to 4999; the browser forbids the others.");
    return;
  }
  session.close(code);
});
on("drop", "click", () => session.drop());

for (const choice of at("connection").elements.stream) {
  choice.addEventListener("change", () => {
    at("stream-hint").textContent = HINTS[chosen()];
    clearTimeout(waiting);
    if (session && !session.closed) session.drop();
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

on("message-form", "submit", () => {
  const raw = at("raw").checked ? at("raw-text").value : null;
  const streamId = at("stream-id").value;
  const message = at("message").value;
  withSocket(() => (raw === null ? session.say(streamId, message) : session.sendRaw(raw)));
});

on("burst-form", "submit", () => {
  if (bursting) {
    bursting.abort();
    return;
  }
  const total = numberIn("burst-count", 1, MOST_MESSAGES);
  const every = total === null ? null : numberIn("burst-every", 0, 60_000, false);
  const size = every === null ? null : numberIn("burst-size", 1, LARGEST);
  if (size === null) return;
  withSocket(() => runBurst({ streamId: at("stream-id").value || "a", count: total, every, size }));
});

async function runBurst(order) {
  const mine = session;
  const before = mine.sent;
  bursting = new AbortController();
  at("burst").textContent = "Stop";
  at("burst-progress").hidden = false;
  const progress = setInterval(() => {
    at("burst-progress").value = (mine.sent - before) / order.count;
  }, 100);
  const begun = performance.now();
  const sent = await burst(mine, order, bursting.signal);
  clearInterval(progress);
  bursting = null;
  at("burst-progress").hidden = true;
  at("burst-progress").value = 0;
  at("burst").textContent = "Send burst";
  log.add("event", `sent ${count(sent)} of ${count(order.count)} in ${duration(performance.now() - begun)}`);
}

on("unary-form", "submit", async () => {
  const key = at("unary-key").value;
  if (key === "") {
    complain("The key must not be empty.");
    return;
  }
  enable("call", false);
  const answer = await unary(key);
  enable("call", true);
  at("unary-result").replaceChildren(described(answer));
});

function described({ status, statusText, body, ms, requestId }) {
  const list = document.createElement("dl");
  const tone = status >= 200 && status < 300 ? "good" : "bad";
  for (const [name, value, look] of [
    ["Status", `${status || ""} ${statusText}`.trim(), `status ${tone}`],
    ["Time", duration(ms), ""],
    ["Body", body, ""],
    ["x-request-id", requestId || "–", ""],
  ]) {
    const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    detail.textContent = value;
    detail.className = look;
    list.append(term, detail);
  }
  return list;
}

on("clear", "click", () => log.clear());
on("wire", "change", () => {
  at("log").classList.toggle("as-on-the-wire", at("wire").checked);
  log.follow();
});

// Beginning

window.addEventListener("error", (event) => complain(`The page failed: ${event.message}`));
window.addEventListener("unhandledrejection", (event) => complain(`The page failed: ${event.reason}`));

at("host").textContent = location.host;
shareSettings(document.forms);
themeButton(at("theme"));
at("stream-hint").textContent = HINTS[chosen()];
showRaw();

let reasonSaid = "";
const askReadiness = watchReadiness(({ ready, reason }) => {
  at("readiness").dataset.tone = ready ? "good" : "bad";
  at("readiness-text").textContent = ready ? "Ready" : "Not ready";
  if (reason === reasonSaid) return; // Said again, it would be read out again.
  reasonSaid = reason;
  at("readiness-reason").hidden = ready;
  at("readiness-reason").textContent = ready ? "" : `/readyz: ${reason}`;
}, READINESS_EVERY);
on("readiness", "click", askReadiness);

setInterval(() => {
  if (!document.hidden && session?.open) drawClocks();
}, 1_000);
new ResizeObserver(() => drawTrips(true)).observe(at("plot"));
draw();

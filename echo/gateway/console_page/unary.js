// The form for unary calls, and how it shows a reply.

import { duration } from "./format.js";
import { unary } from "./http.js";
import { at, complain, enable, on, settle, settleOnInput } from "./page.js";

/** Set up the form. */
export function offerUnaryCall() {
  settleOnInput("unary-form");
  on("unary-form", "submit", async () => {
    const key = at("unary-key").value;
    settle("unary-form");
    at("unary-result").replaceChildren(); // An old reply beside a new call would look like its reply.
    if (key === "") {
      complain("unary-form", "The key must not be empty.", at("unary-key"));
      return;
    }
    enable("call", false);
    const answer = await unary(key);
    enable("call", true);
    at("unary-result").replaceChildren(described(answer));
  });
}

function described({ target, status, statusText, body, ms, requestId }) {
  const list = document.createElement("dl");
  const tone = status >= 200 && status < 300 ? "good" : "bad";
  for (const [name, value, look] of [
    ["Request", `GET /${target}`, ""],
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

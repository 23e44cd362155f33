// The page's elements: finding them, enabling them, reading numbers from them, and complaining beside them.

import { count } from "./format.js";

export const at = (id) => document.getElementById(id);

/** Do something when a person does; not while the element is marked as disabled. */
export function on(id, event, action) {
  at(id).addEventListener(event, (happened) => {
    if (event === "submit") happened.preventDefault();
    if (happened.currentTarget.getAttribute("aria-disabled") !== "true") action(happened);
  });
}

export function enable(id, on) {
  // Not `disabled`, which would take the focus away from who uses the keyboard.
  at(id).setAttribute("aria-disabled", String(!on));
}

/** Say something, or nothing, in an element that is only there when it has something to say. */
export function tell(id, text, tone = "") {
  at(id).textContent = text;
  at(id).dataset.tone = tone;
  at(id).hidden = text === "";
}

/** Say what is wrong with a form, beneath it; with a field, also mark that and go there. */
export function complain(form, text, field = null) {
  settle(form);
  const problem = at(form).querySelector(".problem");
  problem.textContent = text;
  problem.hidden = false;
  if (field === null) return;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", problem.id);
  field.focus();
}

/** Nothing is wrong with the form, as far as is known. */
export function settle(form) {
  const problem = at(form).querySelector(".problem");
  problem.hidden = true;
  problem.textContent = "";
  for (const field of at(form).querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

/** Have a complaint go as soon as anything in its form is changed. */
export function settleOnInput(form) {
  at(form).addEventListener("input", () => settle(form));
}

/** The quantity in a field; complains, and gives null, if there is none or it is not within the bounds. */
export function numberIn(id, least, most, whole = true) {
  const field = at(id);
  const number = field.value.trim() === "" ? NaN : Number(field.value);
  if (number >= least && number <= most && (!whole || Number.isInteger(number))) return number;
  const name = field.closest("label").querySelector("span").firstChild.textContent.trim();
  const kind = whole ? "a whole number" : "a number";
  complain(field.form.id, `“${name}” takes ${kind} from ${count(least)} to ${count(most)}.`, field);
  return null;
}

/** The close code in a field; complains, and gives null, if it is none that a page may close with. */
export function closeCodeIn(id) {
  const text = at(id).value.trim();
  if (/^(1000|[34]\d{3})$/.test(text)) return Number(text);
  complain(at(id).form.id, "A page may close with code 1000, or 3000 to 4999; the browser forbids all others.", at(id));
  return null;
}

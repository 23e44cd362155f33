// The page's elements: finding them, enabling them, reading numbers from them, and showing problems next to them.

import { count } from "./format.js";

export const at = (id) => document.getElementById(id);

/** Add an event handler that does nothing while the element is marked as disabled. */
export function on(id, event, action) {
  at(id).addEventListener(event, (happened) => {
    if (event === "submit") happened.preventDefault();
    if (happened.currentTarget.getAttribute("aria-disabled") !== "true") action(happened);
  });
}

export function enable(id, on) {
  // Not `disabled`, which would take the focus away from keyboard users.
  at(id).setAttribute("aria-disabled", String(!on));
}

/** Show a text in an element, which is hidden while the text is empty. */
export function tell(id, text, tone = "") {
  at(id).textContent = text;
  at(id).dataset.tone = tone;
  at(id).hidden = text === "";
}

/** Show a problem below a form; with a field, also mark and focus the field. */
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

/** Remove a form's problem. */
export function settle(form) {
  const problem = at(form).querySelector(".problem");
  problem.hidden = true;
  problem.textContent = "";
  for (const field of at(form).querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

/** Remove a form's problem as soon as anything in the form is changed. */
export function settleOnInput(form) {
  at(form).addEventListener("input", () => settle(form));
}

/** The number in a field; shows a problem and returns null if it is missing or out of bounds. */
export function numberIn(id, least, most, whole = true) {
  const field = at(id);
  const number = field.value.trim() === "" ? NaN : Number(field.value);
  if (number >= least && number <= most && (!whole || Number.isInteger(number))) return number;
  const name = field.closest("label").querySelector("span").firstChild.textContent.trim();
  const kind = whole ? "a whole number" : "a number";
  complain(field.form.id, `“${name}” takes ${kind} from ${count(least)} to ${count(most)}.`, field);
  return null;
}

/** The close code in a field; shows a problem and returns null if a page may not close with it. */
export function closeCodeIn(id) {
  const text = at(id).value.trim();
  if (/^(1000|[34]\d{3})$/.test(text)) return Number(text);
  complain(at(id).form.id, "A page may close with code 1000, or 3000 to 4999; the browser forbids all others.", at(id));
  return null;
}

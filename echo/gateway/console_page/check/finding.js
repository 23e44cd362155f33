// What a check finds out: an outcome, one readable sentence, and a limit if there is one. Does not touch the page.
//
// The names and the sentences are those of the command line's probe (echo/probe); a test compares them. Sentences that only
// a browser needs are in only_here.js.

export const OUTCOMES = ["survived", "limited", "broken", "inconclusive", "skipped"];

const MOST = 500; // Characters of a sentence.

/** It works; `limit` is the largest that was tried, and it got through. */
export const survived = (sentence, more = {}) => finding("survived", "", sentence, more);

/** It does not work, for one of the check's causes. */
export const broken = (cause, sentence, more = {}) => finding("broken", cause, sentence, more);

/** It works up to `limit`, which is below what was asked for. */
export const limited = (cause, sentence, more = {}) => finding("limited", cause, sentence, more);

/** It could not be determined; the sentence says why. */
export const inconclusive = (sentence, more = {}) => finding("inconclusive", "", sentence, more);

/** It was not run; the sentence says why. */
export const skipped = (sentence) => finding("skipped", "", sentence, {});

function finding(outcome, cause, sentence, { limit = null, unit = null, details = {} }) {
  return { outcome, cause, sentence: printable(sentence, MOST), limit, unit, details };
}

/** Foreign text as one printable line. */
export function printable(text, most = 200) {
  const shown = [...text].map((one) => (/[\p{C}\p{Z}]/u.test(one) && one !== " " ? escaped(one) : one)).join("");
  return shown.length <= most ? shown : `${shown.slice(0, most - 1)}…`;
}

function escaped(character) {
  const short = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  if (short) return short;
  const code = character.codePointAt(0);
  const digits = (width) => code.toString(16).padStart(width, "0");
  return code < 0x100 ? `\\x${digits(2)}` : code < 0x10000 ? `\\u${digits(4)}` : `\\U${digits(8)}`;
}

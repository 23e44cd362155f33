// Numbers and lists in findings, as the command line writes them. Does not touch the page.

/** A number without trailing zeros: "5", "0.25". */
export const plain = (number) => String(Number(number.toPrecision(6)));

/** With so many decimals. */
export const fixed = (number, digits) => number.toFixed(digits);

/** Rounded to so many decimals, as a number. */
export const rounded = (number, digits) => Number(number.toFixed(digits));

/** "a", "a and b", "a, b and c"; by another word if there is one. */
export function listed(words, by = "and") {
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} ${by} ${words.at(-1)}` : (words[0] ?? "");
}

/** With a capital letter. */
export const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** A readable number of bytes: "512 bytes", "7.9 KiB", "4 MiB". */
export function sizeInWords(size) {
  if (size < 1024) return `${Math.round(size)} bytes`;
  const [unit, name] = size >= 2 ** 20 ? [2 ** 20, "MiB"] : [1024, "KiB"];
  return `${(size / unit).toFixed(1).replace(/\.0$/, "")} ${name}`;
}

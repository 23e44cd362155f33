// Numbers and lists in findings, as the command line writes them. No page.

/** A number without a fraction that it has not: "5", "0.25". */
export const plain = (number) => String(Number(number.toPrecision(6)));

/** With so many digits behind the point. */
export const fixed = (number, digits) => number.toFixed(digits);

/** To so many digits behind the point, as a number. */
export const rounded = (number, digits) => Number(number.toFixed(digits));

/** "a", "a and b", "a, b and c"; by another word if there is one. */
export function listed(words, by = "and") {
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} ${by} ${words.at(-1)}` : (words[0] ?? "");
}

/** With a capital letter. */
export const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Bytes for people: "512 bytes", "7.9 KiB", "4 MiB". */
export function sizeInWords(size) {
  if (size < 1024) return `${Math.round(size)} bytes`;
  const [unit, name] = size >= 2 ** 20 ? [2 ** 20, "MiB"] : [1024, "KiB"];
  return `${(size / unit).toFixed(1).replace(/\.0$/, "")} ${name}`;
}

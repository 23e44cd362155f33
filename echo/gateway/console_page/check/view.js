// The table of checks while they run, and afterwards: each row is waiting, running, or has an outcome.

export class View {
  #body;
  #rows = new Map(); // Name -> {row, outcome, finding, began}.

  /** @param {HTMLTableElement} table Its first body is filled. */
  constructor(table) {
    this.#body = table.tBodies[0];
  }

  /** Show checks that wait. */
  show(checks) {
    const rows = checks.map(({ name, question }) => this.#row(name, question));
    this.#body.replaceChildren(...rows);
  }

  begin(name) {
    const line = this.#rows.get(name);
    line.began = performance.now();
    this.#say(line, "running", "running 0 s");
  }

  /** One more second has passed. */
  tick() {
    for (const line of this.#rows.values()) {
      if (line.row.dataset.outcome !== "running") continue;
      this.#say(line, "running", `running ${Math.floor((performance.now() - line.began) / 1000)} s`);
    }
  }

  end({ name, finding, advice }) {
    this.#conclude(name, finding.outcome, finding.sentence, advice, finding.details);
  }

  /** Show what is in the report: the likely advice comes first. */
  conclude(checks) {
    for (const { name, outcome, finding, advice, details } of checks) {
      this.#conclude(name, outcome, finding, advice, details);
    }
  }

  #conclude(name, outcome, sentence, advice, { likely }) {
    const line = this.#rows.get(name);
    this.#say(line, outcome, outcome);
    line.finding.replaceChildren(...marked(sentence));
    if (likely) line.finding.append(part("p", likely));
    if (!advice.length) return;
    const list = document.createElement("ul");
    list.setAttribute("aria-label", `Settings to look at for ${name}`);
    list.append(...advice.map((text) => part("li", text)));
    line.finding.append(list);
  }

  #say({ row, outcome }, state, words) {
    row.dataset.outcome = state;
    outcome.lastChild.textContent = words;
  }

  #row(name, question) {
    const row = part("tr", "");
    row.setAttribute("role", "row"); // Explicitly, because a phone shows rows as blocks, which loses their role.
    const head = part("th", name, "rowheader");
    head.scope = "row";
    const outcome = part("td", "", "cell");
    outcome.className = "outcome-cell";
    const lamp = part("span", "");
    lamp.className = "lamp";
    outcome.append(lamp, part("span", ""));
    const finding = part("td", question, "cell");
    row.append(head, outcome, finding);
    const line = { row, outcome, finding, began: NaN };
    this.#rows.set(name, line);
    this.#say(line, "waiting", "waiting");
    return row;
  }
}

/** A sentence as nodes, with what stands between backticks as code. */
function marked(sentence) {
  return sentence.split("`").map((text, index) => (index % 2 ? part("code", text) : text));
}

function part(kind, text, role = "") {
  const node = document.createElement(kind);
  node.textContent = text;
  if (role) node.setAttribute("role", role);
  return node;
}

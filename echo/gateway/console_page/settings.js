// What the page remembers: its settings in the address, so that a link carries them; the colour scheme in this browser only.

/**
 * Tie the fields that have a `name` in a `data-shared` form to the URL's fragment: `#stream=server&count=50`.
 * Fields that are not in the fragment keep the page's values.
 *
 * @param {Iterable<HTMLFormElement>} forms
 */
export function shareSettings(forms) {
  const fields = [...forms].flatMap((form) => [...form.elements]).filter((field) => field.name);
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const field of fields) {
    const value = wanted.get(field.name);
    if (value === null) continue;
    if (field.type === "radio") field.checked = field.value === value || (field.checked && !known(fields, field.name, value));
    else if (field.type === "checkbox") field.checked = value === "1";
    else field.value = value;
  }
  const save = () => {
    const found = new URLSearchParams();
    for (const field of fields) {
      if (field.type === "radio") {
        if (field.checked && !field.defaultChecked) found.set(field.name, field.value);
      } else if (field.type === "checkbox") {
        if (field.checked !== field.defaultChecked) found.set(field.name, field.checked ? "1" : "0");
      } else if (field.value !== field.defaultValue) {
        found.set(field.name, field.value);
      }
    }
    history.replaceState(null, "", found.size ? `#${found}` : location.pathname + location.search);
  };
  for (const field of fields) field.addEventListener("change", save);
}

function known(fields, name, value) {
  return fields.some((field) => field.name === name && field.value === value);
}

const THEMES = ["auto", "light", "dark"];

/** Make a button cycle through the colour schemes: the system's, light, dark. */
export function themeButton(button) {
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    button.textContent = `Theme: ${theme}`;
    button.setAttribute("aria-label", `Theme: ${theme}. Change to ${next}`);
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem("echo-theme") ?? theme;
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  set(THEMES.includes(theme) ? theme : "auto");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    set(next);
    try {
      localStorage.setItem("echo-theme", next);
    } catch {
      // As above.
    }
  });
}

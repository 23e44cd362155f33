// Saves a report as a file, in the command line's JSON format.

/** Have the browser save the report. */
export function save(report) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(report, null, 2)}\n`], { type: "application/json" }));
  link.download = `echo-path-${location.hostname.replaceAll(/[^\w.-]/g, "_")}-${report.started.replaceAll(/[^\dT]/g, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}

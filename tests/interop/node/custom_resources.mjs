// Validates custom resources, JSON on standard input, by the schemas that are published for them; prints what is wrong.
import { readdirSync, readFileSync } from "node:fs";

const ROOMS = {
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
};
const faults = [];

// The schemas take fields that they don't know. So each name must at least be known somewhere among them; names within
// labels and annotations are free.
const names = new Map();
function known(room) {
  const home = room.split("/").slice(0, 2).join("/");
  if (!names.has(home)) {
    const folder = new URL(`node_modules/${home}/_schemas/`, import.meta.url);
    const sources = readdirSync(folder).filter((file) => file.endsWith(".js"));
    const found = sources.flatMap((file) => [
      ...readFileSync(new URL(file, folder), "utf8").matchAll(/\bdata\d*\.([a-zA-Z]\w*)/g),
    ]);
    names.set(home, new Set(found.map((match) => match[1])));
  }
  return names.get(home);
}

function* unknown(node, room) {
  if (Array.isArray(node)) for (const each of node) yield* unknown(each, room);
  else if (node && typeof node === "object")
    for (const [key, value] of Object.entries(node)) {
      if (["labels", "annotations", "matchLabels"].includes(key)) continue;
      if (!known(room).has(key)) yield key;
      yield* unknown(value, room);
    }
}

for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${manifest.kind} ${manifest.metadata?.name}`;
  const room = ROOMS[manifest.apiVersion] && (await import(ROOMS[manifest.apiVersion]));
  if (!room?.[manifest.kind]) {
    faults.push(`${name}: no such kind in ${manifest.apiVersion}`);
    continue;
  }
  for (const key of unknown(manifest.spec, ROOMS[manifest.apiVersion])) faults.push(`${name}: unknown field ${key}`);
  try {
    new room[manifest.kind](manifest).validate();
  } catch (error) {
    faults.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify(faults));

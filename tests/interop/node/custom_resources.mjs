// Validates custom resources, JSON on standard input, by the schemas that are published for them; prints what is wrong.
import { readFileSync } from "node:fs";

const ROOMS = {
  "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
};
const faults = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${manifest.kind} ${manifest.metadata?.name}`;
  const room = ROOMS[manifest.apiVersion] && (await import(ROOMS[manifest.apiVersion]));
  if (!room?.[manifest.kind]) {
    faults.push(`${name}: no such kind in ${manifest.apiVersion}`);
    continue;
  }
  try {
    new room[manifest.kind](manifest).validate();
  } catch (error) {
    faults.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify(faults));

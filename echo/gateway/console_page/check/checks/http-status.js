// `http-status`: do the gateway's errors arrive as it sent them?
//
// The server is asked for each gRPC status, and the gateway for a page that does not exist. If the server was asked to
// fail and replies with success, it did not do as asked, and the path is not to blame.

import { broken, inconclusive, survived } from "../finding.js";
import { STATUSES } from "../grpc_web.js";
import { parsed } from "../path.js";
import { UNHEEDED_QUERY, whatCame } from "../talk.js";
import { inTurn, within } from "../time.js";

const AT_ONCE = 4;
const PATIENCE = 5; // Seconds for each answer; some of them wait for others, as a browser makes few requests at once.
const MESSAGE = "probe: grüße 再见";

// The HTTP status that the gateway sends for a gRPC status.
const HTTP = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

export async function run(signal, path) {
  const wanted = [
    ...STATUSES.map((name, code) => ({
      name,
      status: HTTP[code],
      body: code ? { code, status: name, message: MESSAGE } : null,
      target: "grpc/probe",
    })),
    {
      name: "no such page",
      status: 404,
      body: { code: 5, status: "NOT_FOUND", message: "Not Found" },
      target: "probe/no-such-page",
    },
  ];
  const cases = await inTurn(
    signal,
    wanted.map((one) => async (inner) => {
      const script = one.body && one.target === "grpc/probe" ? { status: `${one.body.code}:${MESSAGE}` } : {};
      return { ...one, came: await within(inner, PATIENCE, (limit) => path.request(limit, one.target, script)) };
    }),
    AT_ONCE,
  );
  return judged(cases);
}

const isPlain = (came) => came.body.includes("from server:");
const isJson = (came) => came.type.startsWith("application/json");

/** Whether the answer arrived as it was sent. */
function arrived({ status, body, came }) {
  if (came === null || came.status !== status) return false;
  if (body === null) return isPlain(came);
  const found = parsed(came.body);
  const same = Object.keys(found).length === 3 && Object.entries(body).every(([name, value]) => found[name] === value);
  return same && isJson(came);
}

/** Whether the server answered as if it had not been asked to fail. */
const ignored = ({ status, came }) => status !== 200 && came?.status === 200 && isPlain(came);

function judged(cases) {
  if (cases.every(({ came }) => came === null)) {
    return inconclusive("The gateway does not answer at all; is its URL right?");
  }
  const [fine, ...failures] = cases;
  if (!arrived(fine)) {
    const came = fine.came ? whatCame(fine.came) : "no answer";
    return inconclusive(`A plain request to the gateway fails (${came}), so its errors could not be checked.`);
  }
  if (failures.some(ignored)) {
    return inconclusive(UNHEEDED_QUERY);
  }
  const wrong = failures.filter((one) => !arrived(one));
  if (!wrong.length) {
    return survived(`The gateway's errors arrive with their statuses and JSON bodies (${failures.length} were tried).`);
  }
  const worst = wrong.reduce((least, one) => (gravity(one) < gravity(least) ? one : least));
  const sentence = `${wrong.length} of ${failures.length} errors of the gateway do not arrive as sent: ${asCame(worst)}.`;
  return broken("replaced", sentence, { details: { changed: wrong.map(row) } });
}

const gravity = ({ came, status }) => (came === null ? 0 : came.status !== status ? 1 : 2);

function asCame({ status, came }) {
  if (came === null) return `where HTTP ${status} was sent, no answer came`;
  if (came.status === status && isJson(came)) return `HTTP ${status} came with a different body`;
  return `${whatCame(came)} came instead of HTTP ${status} with JSON`;
}

function row({ name, status, body, came }) {
  return `${name}: ${status} ${JSON.stringify(body)} -> ${came === null ? "nothing" : whatCame(came)}`;
}

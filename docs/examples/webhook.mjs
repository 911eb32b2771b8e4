// Receives webhooks; needs Node.js 18 and nothing else.
//
//   WEBHOOK_SECRET=… node webhook.mjs PORT
//
// answers 401 to what the secret did not sign and 204 to the rest. Two secrets may stand in
// WEBHOOK_SECRET with a space between while one takes the other's place. With WEBHOOK_CHECK=body
// it checks X-Webhook-Signature instead of webhook-signature.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const tolerance = 300; // seconds
const limit = 1 << 20; // bytes of a body

function same(a, b) {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

/** verify tells whether webhook-signature is good: id, time and body, a Buffer, are signed. */
export function verify(secret, headers, body, now = Date.now() / 1000) {
  const { "webhook-id": id, "webhook-timestamp": stamp = "", "webhook-signature": list = "" } = headers;
  if (!id || !/^\d{1,12}$/.test(stamp) || Math.abs(now - Number(stamp)) > tolerance) return false;
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;
  const want = "v1," + createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest("base64");
  return list.split(" ").some((signature) => same(want, signature));
}

/** verifyBody tells whether X-Webhook-Signature is good. It knows nothing of time: prefer verify. */
export function verifyBody(secret, headers, body) {
  return same("sha256=" + createHmac("sha256", secret).update(body).digest("hex"), headers["x-webhook-signature"] ?? "");
}

const done = new Set(); // of your database, in the transaction that does the work

async function receive(request, response, check, secrets) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > limit) return response.writeHead(413, { connection: "close" }).end();
    chunks.push(chunk);
  }
  const { headers } = request;
  const body = Buffer.concat(chunks);
  if (!secrets.some((secret) => check(secret, headers, body))) return response.writeHead(401).end();
  const id = headers["webhook-id"];
  if (!id || !done.has(id)) {
    // The same event may come again.
    console.log(headers["x-webhook-event"], body.toString());
    done.add(id);
  }
  response.writeHead(204).end();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const secrets = (process.env.WEBHOOK_SECRET ?? "").split(" ").filter(Boolean);
  if (!secrets.length) throw new Error("WEBHOOK_SECRET is not set");
  // Which one is not for the request to say: who recorded one could leave its time away.
  const check = process.env.WEBHOOK_CHECK === "body" ? verifyBody : verify;
  const server = createServer((request, response) => receive(request, response, check, secrets).catch(() => response.destroy()));
  server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
}

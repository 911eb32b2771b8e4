// Deliveries of a real server, verified by the library of Standard Webhooks.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { appendEvent, gatewayOptions, key, patience, serve } from "./kuranty.mjs";

describe("webhooks", () => {
  const server = serve(gatewayOptions({ webhooks: { allow_http: true, allow_networks: ["127.0.0.0/8"] } }));
  const got = [];
  const receiver = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    got.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(204).end();
  });
  before(() => new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve)));
  after(() => receiver.close());

  async function call(method, path, body) {
    const response = await fetch(`${server.url}${path}`, {
      method, body: body && JSON.stringify(body), headers: { "Content-Type": "application/json", "X-API-Key": key },
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  async function delivered(count) {
    for (const late = Date.now() + patience; got.length < count; ) {
      assert.ok(Date.now() < late, `${got.length} of ${count} deliveries came`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return got[count - 1];
  }

  test("are verified by the library, before, while and after a secret is changed", async () => {
    const secret = `whsec_${Buffer.from("the first secret of this webhook").toString("base64")}`;
    const hook = await call("POST", "/webhooks", { name: "orders", url: `http://127.0.0.1:${receiver.address().port}/`, event_type: "order.paid", secret });
    const data = { number: 7, sum: 12.5, text: "Оплачено: 12,50 € & <ещё>" };
    await appendEvent(server, data);
    const first = await delivered(1);
    assert.deepEqual(new Webhook(secret).verify(first.body, first.headers), data);
    for (const [what, body, headers] of [
      ["another body", first.body.replace("12.5", "13.5"), first.headers],
      ["another id", first.body, { ...first.headers, "webhook-id": "evt_other" }],
      ["another time", first.body, { ...first.headers, "webhook-timestamp": String(Number(first.headers["webhook-timestamp"]) + 1) }],
    ]) {
      assert.throws(() => new Webhook(secret).verify(body, headers), WebhookVerificationError, what);
    }

    const changed = await call("POST", `/webhooks/${hook.id}/secret/rotate`, {});
    await appendEvent(server, data);
    const both = await delivered(2);
    for (const known of [secret, changed.secret]) new Webhook(known).verify(both.body, both.headers);
    assert.notEqual(both.headers["webhook-id"], first.headers["webhook-id"]);
  });
});

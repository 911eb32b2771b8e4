// Contract B with the official client: the program of docs/coming-from-windi.md, and
// what its readers rely on.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { Line, client, event, outcome, secret, serve, soon, subscribed, token, until } from "./kuranty.mjs";

const page = readFileSync(new URL("../../docs/coming-from-windi.md", import.meta.url), "utf8");

/** program is all JavaScript of the page, as a function of what it would import. */
function program(server) {
  const blocks = [...page.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
  const text = blocks.join("\n").replace('import { Centrifuge } from "centrifuge";', "").replaceAll("http://localhost:8000", server.url);
  const AsyncFunction = (async () => {}).constructor;
  return new AsyncFunction("Centrifuge", "console", `${text}\nreturn { centrifuge, chat, session };`);
}

describe("contract B", () => {
  const server = serve({
    client: { token: { hmac_secret_key: secret } }, http_api: { key: "api-key-of-the-tests" },
    auth: { registrations_per_hour: 100 },
  });

  async function call(who, method, path, body) {
    const response = await fetch(`${server.url}/api/v1${path}`, {
      method, body: body && JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...(who && { Authorization: `Bearer ${who.access_token}` }) },
    });
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(JSON.stringify(answer)), { code: response.status });
    return answer;
  }

  async function person(name) {
    const account = { email: `${randomUUID()}@example.com`, password: "correct horse battery" };
    await call(null, "POST", "/users/register", { name, ...account });
    return call(null, "POST", "/users/login", account);
  }

  async function group(owner, ...others) {
    const made = await call(owner, "POST", "/chats", { type: "group", name: "Team", user_ids: others.map((who) => who.user.id) });
    return made.id;
  }

  async function online(t, who) {
    const c = client(t, server, { token: who.centrifugo_token });
    const up = event(c, "connected");
    c.connect();
    await up;
    return c;
  }

  test("the program of the page", async (t) => {
    const lines = [];
    const before = globalThis.WebSocket;
    globalThis.WebSocket = WebSocket;
    t.after(() => (globalThis.WebSocket = before));
    const { centrifuge, chat, session } = await program(server)(Centrifuge, { log: (line) => lines.push(line) });
    t.after(() => centrifuge.disconnect());
    const expected = [
      "Olga came", "Olga: one", "Olga: two", "Olga: three", "Olga: four", "Olga is typing", "notice: hint",
      `page: three,four, more: true`, "there: Olga, 1", "publications: one,two,three,four",
    ];
    for (const line of expected) await until(line, () => lines.includes(line)).catch(() => assert.fail(`no "${line}" in ${JSON.stringify(lines, null, 1)}`));
    const said = lines.filter((line) => /^Olga: /.test(line));
    assert.deepEqual(said, ["Olga: one", "Olga: two", "Olga: three", "Olga: four"]);
    assert.equal((await call(session, "GET", `/chats/${chat.id}`)).last_message.content, "four");
  });

  test("B-5: nobody is forged by a client's publication", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const id = await group(olga, ivan);
    const [a, b] = [await online(t, olga), await online(t, ivan)];
    const sub = await subscribed(b, `chat:${id}`);
    const heard = event(sub, "publication", ({ data }) => data.content === "hello");
    await a.publish(`chat:${id}`, { type: "message", content: "hello", sender_id: ivan.user.id, sender_name: "Ivan", timestamp: 1 });
    const { data } = await heard;
    assert.equal(data.sender_id, olga.user.id);
    assert.equal(data.sender_name, "Olga");
    assert.ok(Math.abs(data.timestamp - Date.now() / 1000) < 60);
  });

  test("B-6: what was missed is recovered, typing is not", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const id = await group(olga, ivan);
    const line = new Line();
    const c = client(t, server, { token: ivan.centrifugo_token, line });
    c.connect();
    const sub = await subscribed(c, `chat:${id}`);
    sub.publications.length = 0;
    line.cut();
    await call(olga, "POST", "/centrifugo/typing", { chat_id: id, is_typing: true });
    for (const content of ["one", "two"]) await call(olga, "POST", `/centrifugo/publish?chat_id=${id}`, { content });
    const again = event(sub, "subscribed");
    line.mend();
    assert.equal((await again).recovered, true);
    await until("two messages", () => sub.publications.length === 2);
    assert.deepEqual(sub.publications.map(({ data }) => [data.type, data.content]), [["message", "one"], ["message", "two"]]);
  });

  test("B-10: coming and going arrive without options", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const id = await group(olga, ivan);
    const sub = await subscribed(await online(t, olga), `chat:${id}`);
    const isIvan = ({ info }) => info.user === String(ivan.user.id) && info.connInfo.name === "Ivan";
    const [came, went] = [event(sub, "join", isIvan), event(sub, "leave", isIvan)];
    const other = await subscribed(await online(t, ivan), `chat:${id}`);
    await came;
    other.unsubscribe();
    await went;
  });

  test("B-1: a subscription token is taken, and membership decides", async (t) => {
    const [olga, ivan] = [await person("Olga"), await person("Ivan")];
    const [id, another] = [await group(olga, ivan), await group(olga, ivan)];
    const c = await online(t, ivan);
    const { token: given } = await call(ivan, "POST", "/centrifugo/token", { channel: `chat:${id}` });
    await subscribed(c, `chat:${id}`, { token: given });
    c.removeSubscription(c.getSubscription(`chat:${id}`));
    const refused = async (channel, jwt) => {
      const sub = c.newSubscription(channel, { token: jwt });
      const end = event(sub, "unsubscribed");
      sub.subscribe();
      const { code } = await end;
      c.removeSubscription(sub);
      return code;
    };
    assert.equal(await refused(`chat:${another}`, given), 103, "of another channel");
    const claims = { sub: String(ivan.user.id), aud: "kuranty", channel: `chat:${id}` };
    assert.equal(await refused(`chat:${id}`, token({ ...claims, exp: soon(60) }, "another key")), 103, "of another key");
    assert.equal(await refused(`chat:${id}`, token({ ...claims, sub: String(olga.user.id), exp: soon(60) })), 103, "of another user");
    const removed = await fetch(`${server.url}/api/v2/chats/${id}/members/${ivan.user.id}`, {
      method: "DELETE", headers: { Authorization: `Bearer ${olga.access_token}` },
    });
    assert.equal(removed.status, 204);
    // 2000 is the end of a subscription that was made in the moment before the removal was announced.
    const code = await refused(`chat:${id}`, given);
    assert.ok(code === 103 || code === 2000, `of who is no member any more: ${code}`);
  });

  test("strangers get nothing", async (t) => {
    const [olga, eve] = [await person("Olga"), await person("Eve")];
    const id = await group(olga);
    const c = await online(t, eve);
    for (const channel of [`chat:${id}`, `user:${olga.user.id}`, "chat:777777"]) {
      const sub = c.newSubscription(channel);
      const refused = event(sub, "unsubscribed");
      sub.subscribe();
      assert.equal((await refused).code, 103, channel);
      assert.equal(await outcome(c.publish(channel, { type: "message", content: "x" })), 103, channel);
    }
    assert.equal(await outcome(call(eve, "GET", `/history/${id}`)), 403);
    assert.equal(await outcome(call(eve, "POST", `/centrifugo/publish?chat_id=${id}`, { content: "x" })), 403);
  });
});

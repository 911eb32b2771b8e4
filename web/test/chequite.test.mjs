// The client of docs/coming-from-chequite.md, run as it is printed there, against a
// server that takes the tokens of another application.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { outcome, secret, serve, soon, token, until } from "./kuranty.mjs";

const application = "the-secret-of-the-application-000";

const page = readFileSync(new URL("../../docs/coming-from-chequite.md", import.meta.url), "utf8");
const snippets = Object.fromEntries([...page.matchAll(/^```js\n\/\/ (\w+)\n(.*?)^```$/gms)].map(([, name, code]) => [name, code]));
const AsyncFunction = (async () => {}).constructor;

/** Person is somebody in front of the client of the page. */
class Person {
  chats = [];
  shown = [];
  statuses = [];
  typings = [];

  constructor(id, name) {
    Object.assign(this, { id, name, accessToken: token({ sub: String(id), name, exp: soon(3600) }, application) });
  }

  /** run executes snippets in a row; what they declare is then there as this.made. */
  async run(t, server, names, more = {}) {
    const scope = {
      accessToken: this.accessToken,
      Centrifuge: class extends Centrifuge {
        constructor(url, options) {
          super(url, { websocket: WebSocket, ...options });
          t.after(() => this.disconnect());
        }
      },
      showChats: (list) => this.chats.push(list),
      showMessage: (message) => this.shown.push(message),
      showStatus: (status) => this.statuses.push(status),
      showTyping: (typing) => this.typings.push(typing),
      ...more,
    };
    const code = names.map((name) => snippets[name]).join("\n")
      .replaceAll("https://chat.example.com", server.url).replaceAll("wss://chat.example.com", server.url.replace("http", "ws"));
    const declared = [...code.matchAll(/^const [{[ ]*(\w+)[\]} ]* =/gm)].map(([, name]) => name);
    const run = new AsyncFunction(...Object.keys(scope), `${code}\nreturn { ${declared} };`);
    this.made = await run(...Object.values(scope));
    for (const name of ["list", "messages", "status", "typing"]) {
      const sub = this.made[name];
      if (sub) await until(`the subscription to ${sub.channel}`, () => sub.state === "subscribed");
    }
    return this.made;
  }
}

describe("coming from chequite", { concurrency: true }, () => {
  const server = serve({
    auth: { mode: "external", external: { hmac_secret_key: application, numeric_ids: true } },
    client: { token: { hmac_secret_key: secret } },
    chat: { compat: { timezone: "Europe/Moscow" }, presence_grace: "1s" },
  });

  test("A-7: the client of the page, with two people", async (t) => {
    assert.deepEqual(Object.keys(snippets), ["calls", "connection", "list", "chat", "presence", "actions"]);
    const olga = new Person(3, "Ольга Орлова");
    await olga.run(t, server, ["calls", "connection", "list"]);
    assert.equal(olga.made.me.id, 3);
    assert.deepEqual(olga.chats, [[]]);

    const pavel = new Person(4, "Павел Павлов");
    const client = await pavel.run(t, server, ["calls", "connection", "list", "chat", "presence", "actions"], { name: "ольга", text: "Привет, Ольга!" });
    const { chatId, sent } = client;
    await until("the message", () => pavel.shown.length > 0);
    assert.deepEqual(pavel.shown.map((m) => [m.id, m.chatId, m.text, m.user.id, m.was_read]), [[sent.id, chatId, "Привет, Ольга!", 4, false]]);
    assert.match(pavel.shown[0].timestamp, /^\d\d:\d\d$/);

    // Ольга's list shows it, and then that she has read it.
    await until("the list with the message", () => olga.chats.at(-1)[0]?.last_message?.text === "Привет, Ольга!");
    assert.equal(olga.chats.at(-1)[0].unread_count, 1);
    const page = await olga.made.api("GET", `chats/${chatId}/messages`);
    assert.equal(page.companion.name, "Павел Павлов");
    await until("the mark", () => pavel.chats.at(-1)[0]?.last_message?.was_read === true);

    // Somebody types, and stops without saying so.
    await olga.made.api("POST", "typing", { chatId, typing: true });
    await until("typing", () => pavel.typings.length > 0);
    await until("its end", () => pavel.typings.length > 1);
    assert.deepEqual(pavel.typings, [true, false]);

    // A lost connection loses no message: the channel is recovered.
    client.centrifuge.disconnect();
    await olga.made.api("POST", `chats/${chatId}/messages`, { text: "Пока вас не было" });
    client.centrifuge.connect();
    await until("what was missed", () => pavel.shown.at(-1).text === "Пока вас не было");
    assert.equal(pavel.shown.length, 2);
  });

  test("A-9: strangers get nothing", async (t) => {
    const [anna, boris, eve] = [new Person(11, "Анна"), new Person(12, "Борис Б"), new Person(13, "Ева")];
    await boris.run(t, server, ["calls", "connection"]);
    const { chatId } = await anna.run(t, server, ["calls", "connection", "chat"], { name: "Борис" });
    const { centrifuge, api } = await eve.run(t, server, ["calls", "connection"]);
    await centrifuge.ready();
    const codes = {};
    for (const channel of ["user-11-chats", `user-${chatId}-messages`, "user-11-status", `chat.${chatId}`, `chat:${chatId}`, "user-999-messages"]) {
      const sub = centrifuge.newSubscription(channel);
      const refused = new Promise((resolve) => sub.on("unsubscribed", resolve));
      sub.subscribe();
      codes[channel] = (await refused).code;
    }
    assert.deepEqual(codes, {
      "user-11-chats": 103, [`user-${chatId}-messages`]: 103, "user-11-status": 103, [`chat.${chatId}`]: 103, [`chat:${chatId}`]: 103,
      "user-999-messages": 103,
    });
    assert.equal(await outcome(api("GET", `chats/${chatId}/messages`)).then((e) => e.message.slice(0, 3)), "404");

    // A connection token where a subscription token is expected is no mistake here.
    const own = (await api("GET", "update-centrifugo-token")).centrifugo_token;
    const sub = centrifuge.newSubscription("user-13-chats", { token: own });
    sub.subscribe();
    await sub.ready();
  });

  test("A-13: offline is told after the grace, and not after a reload", async (t) => {
    const [kira, lev] = [new Person(21, "Кира"), new Person(22, "Лев Львов")];
    await lev.run(t, server, ["calls", "connection"]);
    await lev.made.centrifuge.ready();
    await kira.run(t, server, ["calls", "connection", "chat", "presence"], { name: "Лев" });
    await kira.made.api("POST", `chats/${kira.made.chatId}/messages`, { text: "Вы тут?" });
    lev.made.centrifuge.disconnect();
    lev.made.centrifuge.connect();
    await lev.made.centrifuge.ready();

    const left = Date.now();
    lev.made.centrifuge.disconnect();
    await until("a status", () => kira.statuses.length > 0);
    assert.ok(Date.now() - left >= 900, `told after ${Date.now() - left} ms`);
    lev.made.centrifuge.connect();
    await until("his return", () => kira.statuses.length > 1);
    assert.match(kira.statuses[0], /^\d\d\.\d\d\.\d{4} \d\d:\d\d$/);
    assert.deepEqual(kira.statuses.slice(1), ["online"]);
  });
});

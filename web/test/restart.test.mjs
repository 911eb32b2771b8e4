// The server stops, is killed, and comes back on the same address.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connected, event, formats, name, options, publications, Server, subscribed, user } from "./kuranty.mjs";

for (const format of Object.keys(formats)) {
  describe(format, { concurrency: true }, () => {
    const fresh = async (t) => {
      const server = new Server(options());
      t.after(() => server.close());
      return server.start();
    };

    test("a graceful restart loses nothing: 3001, then recovered", async (t) => {
      const server = await fresh(t);
      const c = await connected(t, server, { format, claims: { sub: user() } });
      const s = await subscribed(c, name("recover"));
      for (const n of [1, 2, 3]) await server.publish(s.channel, n);
      await publications(s, 3, c);
      const lost = event(c, "connecting");
      const exit = server.stop();
      assert.deepEqual(await lost, { code: 3001, reason: "shutdown" });
      c.line.down = true;
      assert.equal(await exit, 0);
      await server.start();
      await server.publish(s.channel, 4); // before the client is back
      const back = event(s, "subscribed");
      c.line.mend();
      const answer = await back;
      assert.equal(answer.wasRecovering, true);
      assert.equal(answer.recovered, true);
      await server.publish(s.channel, 5);
      assert.deepEqual(await publications(s, 5, c), [1, 2, 3, 4, 5]);
      assert.deepEqual(s.publications.map((p) => p.offset), [1, 2, 3, 4, 5]);
    });

    test("after a crash the epoch is another and nothing is called recovered", async (t) => {
      const server = await fresh(t);
      const c = await connected(t, server, { format, claims: { sub: user() } });
      const s = await subscribed(c, name("recover"));
      for (const n of [1, 2, 3]) await server.publish(s.channel, n);
      await publications(s, 3, c);
      const { epoch } = await s.history();
      const back = event(s, "subscribed");
      await server.stop("SIGKILL");
      await server.start();
      const answer = await back;
      assert.equal(answer.wasRecovering, true);
      assert.equal(answer.recovered, false);
      await server.publish(s.channel, 4);
      assert.deepEqual(await publications(s, 4, c), [1, 2, 3, 4]);
      assert.equal(s.publications.at(-1).offset, 1);
      assert.notEqual((await s.history()).epoch, epoch);
    });

    test("a crash after a graceful restart does not bring the old streams back", async (t) => {
      const server = await fresh(t);
      const c = await connected(t, server, { format, claims: { sub: user() } });
      const s = await subscribed(c, name("recover"));
      await server.publish(s.channel, 1);
      await publications(s, 1, c);
      let back = event(s, "subscribed");
      await server.stop();
      await server.start();
      assert.equal((await back).recovered, true);
      await server.publish(s.channel, 2);
      await publications(s, 2, c);
      back = event(s, "subscribed");
      await server.stop("SIGKILL");
      await server.start();
      assert.equal((await back).recovered, false);
    });

    test("all clients are told, and all return", async (t) => {
      const server = await fresh(t);
      const all = await Promise.all(Array.from({ length: 50 }, () => connected(t, server, { format, claims: { sub: user() } })));
      const subs = await Promise.all(all.map((c) => subscribed(c, "recover:all")));
      const lost = all.map((c) => event(c, "connecting"));
      const back = subs.map((s) => event(s, "subscribed"));
      assert.equal(await server.stop(), 0);
      for (const end of lost) assert.equal((await end).code, 3001);
      await server.start();
      for (const answer of await Promise.all(back)) assert.equal(answer.recovered, true);
      await server.publish("recover:all", "here again");
      for (const s of subs) await publications(s, 1, all[0]);
    });
  });
}

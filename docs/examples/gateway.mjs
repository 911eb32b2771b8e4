// Follows the event gateway, in browsers and in Node.js (before 22 it needs the package ws).
//
//   node gateway.mjs ws://127.0.0.1:8000 TOKEN [--live] CHANNEL…
//
// prints every event as a line of JSON. With --live it does not ask for what it missed
// while it was not connected.

const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket;

// After these codes nothing is better the next time: the program or its token must change.
const final = new Set([1000, 1003, 1007, 1009, 4001, 4003, 4030]);

/**
 * follow calls onEvent for each event of channels and events, over as many connections as it
 * takes. With lastEventId, the id of the last event you are done with, it begins there; with
 * resume: false it never asks for what it missed. onLost is called if that is not kept any
 * more, onEnd with the code that ended it. The function returned ends it.
 */
export function follow(base, token, { channels = [], events = [], lastEventId, resume = true, onEvent, onLost = () => {}, onEnd = () => {}, log = console.warn }) {
  let socket, timer, silence, wait;
  let tries = 0;
  let over = false;
  let last = lastEventId;

  function connect() {
    socket = new WebSocket(`${base}/v1/ws`);
    socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token }));
    socket.onmessage = ({ data }) => {
      clearTimeout(silence);
      silence = setTimeout(() => socket.close(), 75_000); // the server pings every 30 s
      receive(JSON.parse(data));
    };
    socket.onerror = () => {}; // onclose comes after it
    socket.onclose = ({ code }) => {
      clearTimeout(silence);
      if (over || final.has(code)) return onEnd(code);
      const least = { 1013: 10_000, 4029: 60_000 }[code] ?? 0;
      timer = setTimeout(connect, Math.max(least, wait ?? Math.min(30_000, 500 * 2 ** tries++) * (0.5 + Math.random() / 2)));
      wait = undefined;
    };
  }

  function receive(message) {
    const { type, id, data } = message;
    switch (type) {
      case "event":
        onEvent(message);
        last = id; // now, not before: what fails in onEvent comes again
        break;
      case "ping":
        socket.send(JSON.stringify({ type: "pong" }));
        last = data.cursor ?? last; // got everything up to there
        break;
      case "response":
        if (data.action === "auth" && data.status === "ok") {
          tries = 0;
          const ask = { type: "subscribe", id: "first", channels, events };
          if (resume && last) ask.lastEventId = last;
          last ??= data.cursor;
          socket.send(JSON.stringify(ask));
        }
        if (data.resume?.status === "lost") onLost(data.resume);
        break;
      case "error":
        log(`${data.code}: ${data.message}`);
        wait = data.reconnectAfter ?? wait;
    }
  }

  connect();
  return () => {
    over = true;
    clearTimeout(timer);
    socket.close(1000);
  };
}

if (globalThis.process?.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  const [base, token, ...rest] = process.argv.slice(2);
  follow(base, token, {
    channels: rest.filter((name) => name !== "--live"),
    resume: !rest.includes("--live"),
    onEvent: (event) => console.log(JSON.stringify(event)),
    onLost: () => console.error("some events are not kept any more: load everything anew"),
    onEnd: (code) => {
      console.error(`ended with ${code}`);
      process.exitCode = code === 1000 ? 0 : 1;
    },
  });
}

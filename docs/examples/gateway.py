"""Follows the event gateway; needs the package websockets (10 or later).

    python3 gateway.py ws://127.0.0.1:8000 TOKEN [--live] CHANNEL...

prints every event as a line of JSON. With --live it does not ask for what it missed while
it was not connected.
"""

import asyncio
import json
import random
import sys

import websockets

# After these codes nothing is better the next time: the program or its token must change.
FINAL = {1000, 1003, 1007, 1009, 4001, 4003, 4030}
LEAST = {1013: 10, 4029: 60}  # seconds to wait


async def follow(base, token, channels=(), events=(), last=None, resume=True, log=print):
    """Yields each event, over as many connections as it takes, until one ends for good.

    last is the id of the last event that you are done with; with resume=False what was
    missed is never asked for. Returns after a close with a code of FINAL.
    """
    tries = 0
    while True:
        wait = None
        try:
            async with websockets.connect(base + "/v1/ws", max_size=2**20) as socket:
                await socket.send(json.dumps({"type": "auth", "token": token}))
                while True:
                    # The server pings every 30 s.
                    message = json.loads(await asyncio.wait_for(socket.recv(), 75))
                    kind, data = message["type"], message["data"]
                    if kind == "event":
                        yield message
                        last = message["id"]  # now, not before: what fails comes again
                    elif kind == "ping":
                        await socket.send(json.dumps({"type": "pong"}))
                        last = data.get("cursor", last)  # got everything up to there
                    elif kind == "error":
                        log(f"{data['code']}: {data['message']}", file=sys.stderr)
                        if "reconnectAfter" in data:
                            wait = data["reconnectAfter"] / 1000
                    elif kind == "response":
                        if data["action"] == "auth" and data["status"] == "ok":
                            tries = 0
                            ask = {"type": "subscribe", "channels": list(channels), "events": list(events)}
                            if resume and last:
                                ask["lastEventId"] = last
                            last = last or data.get("cursor")
                            await socket.send(json.dumps(ask))
                        if data.get("resume", {}).get("status") == "lost":
                            log("some events are not kept any more: load everything anew", file=sys.stderr)
        except websockets.ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            if code in FINAL:
                log(f"ended with {code}", file=sys.stderr)
                return
            least = LEAST.get(code, 0)
        except (OSError, asyncio.TimeoutError, websockets.InvalidHandshake):
            least = 0
        if wait is None:
            wait = min(30, 0.5 * 2**tries) * random.uniform(0.5, 1)
            tries += 1
        await asyncio.sleep(max(least, wait))


async def main(base, token, *rest):
    channels = [name for name in rest if name != "--live"]
    async for event in follow(base, token, channels, resume="--live" not in rest):
        print(json.dumps(event, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

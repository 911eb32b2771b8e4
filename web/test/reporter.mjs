// A reporter for node --test that prints one JSON object per finished test, for
// js_test.go to turn into subtests.

export default async function* report(source) {
  const path = [];
  for await (const { type, data } of source) {
    switch (type) {
      case "test:start":
        path.length = data.nesting;
        path[data.nesting] = data.name;
        break;
      case "test:pass":
      case "test:fail": {
        path[data.nesting] = data.name;
        const error = type === "test:fail" ? describe(data.details.error) : undefined;
        yield `${JSON.stringify({
          kind: "test",
          name: path.slice(0, data.nesting + 1).join("/"),
          suite: data.details.type === "suite",
          skipped: Boolean(data.skip || data.todo),
          ms: Math.round(data.details.duration_ms),
          error,
        })}\n`;
        break;
      }
      case "test:stdout":
      case "test:stderr":
        yield `${JSON.stringify({ kind: "output", text: data.message })}\n`;
    }
  }
}

function describe(error) {
  const cause = error?.cause ?? error;
  return cause?.stack ?? String(cause);
}

// One Moleculer node: `node node.js serve` has the echo action, `node node.js call PORT` calls it as stdin asks.
"use strict";

const net = require("node:net");
const os = require("node:os");
const readline = require("node:readline");

// Moleculer's TCP server listens on all addresses and offers no setting for it, and it tells other nodes the machine's
// name as the place to find it. A benchmark belongs on loopback.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (options, ...rest) {
  return listen.call(this, { ...options, host: "127.0.0.1" }, ...rest);
};
os.hostname = () => "127.0.0.1";

const { ServiceBroker } = require("moleculer");

const say = (words) => process.stdout.write(JSON.stringify(words) + "\n");

function broker(nodeID, urls) {
  return new ServiceBroker({
    nodeID,
    logger: false,
    transporter: { type: "TCP", options: { udpDiscovery: false, urls } },
  });
}

async function serve() {
  const callee = broker("callee", null);
  callee.createService({
    name: "echo",
    actions: { echo: { params: { message: "string" }, handler: (ctx) => ({ message: ctx.params.message }) } },
  });
  await callee.start();
  say({ port: callee.transit.tx.reader.opts.port });
  process.stdin.resume();
  process.stdin.on("end", () => callee.stop().then(() => process.exit(0)));
}

async function call(port) {
  const caller = broker("caller", [`tcp://127.0.0.1:${port}/callee`]);
  await caller.start();
  await caller.waitForServices("echo", 15000, 20);
  say({ ready: true });

  async function share(calls) {
    for (let done = 0; done < calls; done++) await caller.call("echo.echo", { message: "x" });
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { count, concurrency } = JSON.parse(line);
    const began = process.hrtime.bigint();
    const shares = Array.from({ length: concurrency }, (_, number) =>
      share(Math.floor(count / concurrency) + (number < count % concurrency ? 1 : 0)),
    );
    await Promise.all(shares);
    say({ seconds: Number(process.hrtime.bigint() - began) / 1e9 });
  }
  await caller.stop();
  process.exit(0);
}

(process.argv[2] === "serve" ? serve() : call(Number(process.argv[3]))).catch((error) => {
  console.error(error);
  process.exit(1);
});

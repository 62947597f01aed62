/** `weft leave`: takes this host out of the network for good. */
import { EXIT_OK } from "../config/errors.js";
import { ask } from "./client.js";
import { type Command, parseCommandLine, RUN_DIR, RUN_DIR_HELP } from "./command.js";

/** etcd may take its time, on every endpoint. */
const TIMEOUT_MS = 30_000;

export const leave: Command = {
  name: "leave",
  usage: "[--run-dir DIR]",
  summary: "give this node's subnet back, and stop the daemon",
  help: `Gives the lease in etcd back, so that another node may take the subnet, and ends weftd. Its pods
lose the overlay: drain the host first. A plain stop keeps the lease, for the next start. A
reservation (a key without an etcd lease) is left in etcd. When etcd cannot be reached, nothing
changes and weftd goes on.

${RUN_DIR_HELP}`,
  async run(args) {
    const { values } = parseCommandLine("leave", { args: [...args], options: RUN_DIR });
    const { message } = (await ask(values["run-dir"], "PUT", "/leave", null, TIMEOUT_MS)) as {
      message: string;
    };
    process.stdout.write(`${message}; weftd stops\n`);
    return EXIT_OK;
  },
};

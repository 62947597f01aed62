/** `weft up`: runs the daemon over a peers file, in the foreground. */
import { ConfigError } from "../config/errors.js";
import { weftd } from "../start.js";
import type { Command } from "./command.js";

export const up: Command = {
  name: "up",
  usage: "--file peers.yaml [any flag of weftd]",
  summary: "run the daemon over a file of peers, without etcd",
  help: `Runs weftd in the foreground with --registry=file:peers.yaml, as root. The file is read again
when it changes. 'weftd --help' lists the other flags, for example --iface=eth1.
`,
  async run(args) {
    const at = args.findIndex((argument) => /^--?file(=|$)/.test(argument));
    const [flag, value] = args[at]?.split(/=(.*)/s) ?? [];
    const file = value ?? args[at + 1];
    if (flag === undefined || file === undefined || file === "") {
      throw new ConfigError("weft up needs a file of peers: weft up --file peers.yaml");
    }
    const rest = args.toSpliced(at, value === undefined ? 2 : 1);
    // Nothing is left to do, also for the daemon that another one replaced.
    process.exit(await weftd([...rest, `--registry=file:${file}`]));
  },
};

/**
 * `weft install-service` and `weft uninstall-service`: the unit and what belongs beside it, put into place by systemd's
 * and the network daemons' own habits, for the weftd that this command belongs to.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { EXIT_OK, WeftError } from "../config/errors.js";
import { type Command, parseCommandLine } from "./command.js";

const packageDirectory = fileURLToPath(new URL("../../../", import.meta.url));
const unit = "weftd.service";
/** Files of systemd/, by where they go. */
const FILES: Readonly<Record<string, string>> = {
  [`/etc/systemd/system/${unit}`]: unit,
  "/etc/sysctl.d/60-weft.conf": "60-weft.conf",
  "/etc/systemd/network/60-weft.network": "60-weft.network",
  "/etc/systemd/networkd.conf.d/60-weft.conf": "60-weft-networkd.conf",
  "/etc/NetworkManager/conf.d/60-weft.conf": "60-weft-networkmanager.conf",
};
const SETTINGS = "/etc/default/weftd";
const SETTINGS_TEXT = `# weftd's settings, one variable each; 'weftd --help' lists them. 'systemctl reload weftd' makes them take effect.
#WEFT_ETCD_ENDPOINTS=http://127.0.0.1:2379
#WEFT_REGISTRY=file:/etc/weft/peers.yaml
#WEFT_IFACE=eth0
`;

export const installService: Command = {
  name: "install-service",
  usage: "[--no-start]",
  summary: "run weftd as a service of systemd, now and after every boot",
  help: `Installs the unit weftd.service and what keeps networkd and NetworkManager from touching weft's
device, turns forwarding on, enables the service and starts it. Settings go into ${SETTINGS},
which is kept when it is there. Run it again after weft has moved; an update alone needs only
'systemctl reload weftd'.

  --no-start      install only; 'systemctl enable --now weftd' does the rest
`,
  run(args) {
    const options = { "no-start": { type: "boolean", default: false } } as const;
    const { values } = parseCommandLine("install-service", { args: [...args], options });
    for (const [path, name] of Object.entries(FILES)) {
      write(path, atHome(readFileSync(join(packageDirectory, "systemd", name), "utf8")));
    }
    if (!existsSync(SETTINGS)) write(SETTINGS, SETTINGS_TEXT);
    systemctl("daemon-reload");
    if (values["no-start"]) return Promise.resolve(EXIT_OK);
    try {
      command("sysctl", "--quiet", "--load=/etc/sysctl.d/60-weft.conf");
    } catch {
      // In a container it is the host's to allow; `weft status` says what is missing.
    }
    systemctl("enable", unit);
    // Started, it may wait for its registry: the command does not.
    systemctl("restart", "--no-block", unit);
    process.stdout.write(`weftd is a service now: settings in ${SETTINGS}, state with 'weft status'\n`);
    return Promise.resolve(EXIT_OK);
  },
};

export const uninstallService: Command = {
  name: "uninstall-service",
  usage: "",
  summary: "stop the service and remove what install-service installed",
  help: `Stops and disables weftd.service and removes its files. Settings, lease and subnet.env are kept;
'weft leave', before, gives the lease back. Forwarding stays on until it is turned off.
`,
  run(args) {
    parseCommandLine("uninstall-service", { args: [...args], options: {} });
    systemctl("disable", "--now", unit);
    for (const path of Object.keys(FILES)) rmSync(path, { force: true });
    systemctl("daemon-reload");
    process.stdout.write("weftd is no service any more\n");
    return Promise.resolve(EXIT_OK);
  },
};

/** The unit's paths are a Debian package's; npm may have put the programs elsewhere, and Node may be anywhere. */
function atHome(text: string): string {
  const program = (file: string, ...flags: readonly string[]): string =>
    [process.execPath, ...flags, join(packageDirectory, "dist/src", file)].join(" ");
  return text
    .replace("ExecStart=/usr/bin/weftd", `ExecStart=${program("weftd.cjs", "--max-semi-space-size=2")}`)
    .replace("ExecReload=/usr/bin/weft ", `ExecReload=${program("weft.js")} `);
}

function write(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } catch (cause) {
    throw new WeftError(`cannot write ${path}: ${(cause as Error).message}; run it as root`, undefined, {
      cause,
    });
  }
}

function systemctl(...args: string[]): void {
  command("systemctl", ...args);
}

function command(name: string, ...args: string[]): void {
  try {
    execFileSync(name, args, { stdio: ["ignore", "inherit", "inherit"] });
  } catch (cause) {
    throw new WeftError(`${name} ${args.join(" ")} failed; its own message is above`, undefined, { cause });
  }
}

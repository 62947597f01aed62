"""A stand-in for systemd, as far as weftd talks to it: service-manager.py <run-dir> <command…>

Starts the command and starts it again whenever it ends, with what it had kept (FDSTORE=1) as descriptors 3 and up;
follows MAINPID= and kills a service that promised WATCHDOG=1 and does not send it. With the main process, all others of
the service end. Lines on standard input:
  restart        SIGTERM, then a new process as soon as the old one has ended
  run <cmd…>     runs a command as the service's own, several at once if told so
  reload <cmd…>  the same (`weft restart`); while it runs, a main process that ended is waited for, as systemd does
  stop           SIGTERM, and the end
Lines on standard output: `main <pid>`, `ended <pid> <status>`, `kept <name>`, `dropped <name>`, `watchdog`,
`reloading <pid>`, `reloaded <pid> <status>`, and what the service prints.
"""
import array, ctypes, os, resource, select, signal, socket, sys, time

run_dir, command = sys.argv[1], sys.argv[2:]
WATCHDOG_S = float(os.environ.pop("SERVICE_WATCHDOG_S", "0"))
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

# A core takes long to write.
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.makedirs(run_dir, exist_ok=True)
notify_path = os.path.join(run_dir, "notify")
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(notify_path)
# What the service prints goes through the manager, so that nobody waits for its end once the manager is gone.
output_read, output_write = os.pipe2(os.O_CLOEXEC)
kept = []  # (name, fd)
# When the service was last heard of; 0 until it is ready.
main, alive, stopping, runs, reloads = 0, 0.0, False, set(), set()


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def spawn(arguments, pass_kept):
    """Starts a process of the service. Descriptors that are passed on are moved to 3 and up last: they replace ours."""
    pid = os.fork()
    if pid != 0:
        return pid
    env = dict(os.environ, NOTIFY_SOCKET=notify_path, WEFT_RUN_DIR=run_dir)
    # A service has nothing of the environment of who tests it. This would have Node read all certificates first: 75 ms.
    env.pop("NODE_EXTRA_CA_CERTS", None)
    if not pass_kept:
        env.update(MAINPID=str(main))
    if WATCHDOG_S > 0:
        env.update(WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)), WATCHDOG_PID=str(os.getpid()))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(output_write, 1)
    os.dup2(output_write, 2)
    if pass_kept and kept:
        high = [os.dup2(fd, 100 + i, inheritable=False) for i, (_, fd) in enumerate(kept)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
        env.update(
            LISTEN_PID=str(os.getpid()),
            LISTEN_FDS=str(len(kept)),
            LISTEN_FDNAMES=":".join(name for name, _ in kept),
        )
    os.execvpe(arguments[0], arguments, env)


def start():
    global main, alive
    main, alive = spawn(command, True), 0.0
    say("main", main)


def same(a, b):
    KCMP, KCMP_FILE = 312, 0
    me = os.getpid()
    return ctypes.CDLL(None).syscall(KCMP, me, me, KCMP_FILE, a, b) == 0


def hear():
    """One message of the service."""
    global main, alive
    data, ancillary, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(8 * 4), socket.MSG_DONTWAIT)
    fds = array.array("i")
    for _, kind, payload in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    words = dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
    name = words.get("FDNAME", "stored")
    if "FDSTORE" in words:
        for fd in fds:
            if any(same(fd, other) for _, other in kept):
                os.close(fd)
            else:
                kept.append((name, fd))
                say("kept", name)
    if "FDSTOREREMOVE" in words:
        for entry in [entry for entry in kept if entry[0] == name]:
            kept.remove(entry)
            os.close(entry[1])
            say("dropped", name)
    if "WATCHDOG" in words or "READY" in words:
        alive = time.monotonic()
    if "MAINPID" in words:
        main, alive = int(words["MAINPID"]), time.monotonic()
        say("main", main)


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def end_others():
    """The rest of the service, as systemd does with KillMode=control-group: SIGTERM, and SIGKILL after a while."""
    end = time.monotonic() + 5
    told = set()
    while True:
        children = {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(pid) == os.getpid()}
        if not children:
            return
        for pid in children if time.monotonic() > end else children - told:
            os.kill(pid, signal.SIGKILL if pid in told else signal.SIGTERM)
        told |= children
        select.select([], [], [], 0.005)
        reap()


def reap():
    """Ends of processes. True when the service is to be started again after a pause."""
    ended = False
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        code = os.waitstatus_to_exitcode(status)
        if pid in runs:
            runs.remove(pid)
            reloads.discard(pid)
            say("reloaded", pid, code)
        else:
            say("ended", pid, code)
        ended |= pid == main
    return ended


wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
signal.signal(signal.SIGCHLD, lambda *_: None)
signal.set_wakeup_fd(wake_write)
down = False
start()
while True:
    ready, _, _ = select.select([0, notify, wake_read, output_read], [], [], 0.05)
    now = time.monotonic()
    if output_read in ready:
        os.write(1, os.read(output_read, 65536))
    if notify in ready:
        hear()
        continue  # what it had to say comes before its end
    if wake_read in ready:
        os.read(wake_read, 64)
    if reap():
        main, down = 0, True
    if main:
        down = False
    if down and (stopping or not reloads):
        down = False
        end_others()
        if stopping:
            sys.exit(0)
        start()
    if 0 in ready:
        verb, *rest = (sys.stdin.readline() or "stop").split()
        if verb in ("run", "reload"):
            pid = spawn(rest, False)
            runs.add(pid)
            if verb == "reload":
                reloads.add(pid)
            say("reloading", pid)
        else:
            stopping = verb == "stop"
            os.kill(main, signal.SIGTERM)
    if WATCHDOG_S > 0 and main and alive > 0 and now - alive > WATCHDOG_S:
        say("watchdog")
        os.kill(main, signal.SIGABRT)
        alive = now

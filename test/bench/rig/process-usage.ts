import { readdirSync, readFileSync } from "node:fs";

/** What a process has used so far. */
export interface ProcessUsage {
  pid: number;
  /** The program's name, as the kernel keeps it. */
  command: string;
  cpuSeconds: number;
  /** Resident memory now; pages shared with other processes count in each. */
  rssMb: number;
  /** The same, with each shared page divided among those that share it. */
  pssMb: number;
}

/** What some processes used between two readings. */
export interface Consumption {
  /** Percent of one core. */
  cpuPercent: number;
  /** At the second reading. */
  rssMb: number;
  /** At the second reading. */
  pssMb: number;
}

/** Linux counts processor time in hundredths of a second for user space, whatever its own tick. */
const TICKS_PER_SECOND = 100;

/** A process and all its descendants, the process first. Linux only: throws where there is no /proc, or no such process. */
export function readProcessTree(root: number): ProcessUsage[] {
  return treeOf(root, readAll()).map((process) => ({ ...process, ...readMemory(process.pid) }));
}

/** How many processes of the group that `root` leads are no descendants of it: their parent has died, and they have not. */
export function countOrphans(root: number): number {
  const all = readAll();
  const tree = treeOf(root, all);
  return all.filter((process) => process.group === root && !tree.includes(process)).length;
}

/** How many files a process and all its descendants hold open. */
export function countOpenFiles(root: number): number {
  return treeOf(root, readAll()).reduce((sum, { pid }) => {
    try {
      return sum + readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      return sum;
    }
  }, 0);
}

type Process = Pick<ProcessUsage, "pid" | "command" | "cpuSeconds"> & { parent: number; group: number };

function readAll(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

function treeOf(root: number, all: Process[]): Process[] {
  const tree = all.filter((process) => process.pid === root);
  if (tree.length === 0) throw new Error(`process ${root} is gone`);
  for (const parent of tree) tree.push(...all.filter((process) => process.parent === parent.pid));
  return tree;
}

/** What the processes for which `isOne` holds used over `seconds`. Only those that lived through count. */
export function computeConsumption(
  before: ProcessUsage[],
  after: ProcessUsage[],
  seconds: number,
  isOne: (process: ProcessUsage) => boolean,
): Consumption {
  const total = { cpuPercent: 0, rssMb: 0, pssMb: 0 };
  for (const process of after.filter(isOne)) {
    const earlier = before.find(({ pid }) => pid === process.pid);
    if (earlier === undefined) continue;
    total.cpuPercent += (100 * (process.cpuSeconds - earlier.cpuSeconds)) / seconds;
    total.rssMb += process.rssMb;
    total.pssMb += process.pssMb;
  }
  return total;
}

function readMemory(pid: number): { rssMb: number; pssMb: number } {
  let text = "";
  try {
    text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  } catch {
    // The process ended meanwhile.
  }
  const megabytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) / 1024;
  return { rssMb: megabytes("Rss"), pssMb: megabytes("Pss") };
}

/** Null where the process ended meanwhile. */
function readProcess(pid: number): Process | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name may hold spaces and parentheses: fields are counted from its end.
    const nameEnd = stat.lastIndexOf(")");
    const fields = stat.slice(nameEnd + 2).split(" ");
    return {
      pid,
      command: stat.slice(stat.indexOf("(") + 1, nameEnd),
      parent: Number(fields[1]),
      group: Number(fields[2]),
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    };
  } catch {
    return null;
  }
}

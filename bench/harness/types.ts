/** One question that the bench answers. Each lives in a file of `scenarios/` and is listed in `scenarios/index.ts`. */
export interface Scenario {
  /** As `--only` names it. */
  readonly name: string
  readonly question: string
  run(context: Context): Promise<Table[]>
}

/** What a scenario works with. */
export interface Context {
  /** Small numbers, to see that everything works; the results mean little. */
  readonly quick: boolean
  /** The server's log, in which statements can be counted. */
  readonly logFile: string
  /** How often each subject is measured, in turn with the others. */
  readonly rounds: number
  /** An empty database of its own on the bench's server. */
  emptyDatabase(): Promise<Database>
  /** A database with our schema and default policies, no caps, and every low risk admitted. */
  ourDatabase(): Promise<Database>
  /** One of us in a process of its own, with a fresh database or, beside others, the one given. Rejects with the reason when it cannot be had here. */
  contender(name: ContenderName, database?: Database): Promise<Contender>
  /** For people who watch: what was found. */
  log(line: string): void
  /** For people who wait: what is being measured, on stderr, also where the rest goes to a file. */
  at(line: string): void
}

export interface Database {
  /** The owner's login. */
  readonly url: string
  /** The superuser's login. */
  readonly adminUrl: string
  drop(): Promise<void>
}

export const contenderNames = [
  'ops-loop',
  'graphile-worker, best',
  'graphile-worker',
  'pg-boss, best',
  'dbos',
  'openworkflow',
  'absurd',
  'pgflow',
] as const
export type PeerName = (typeof contenderNames)[number]

/** No peers but a floor: the rows that a step writes, in bare tables, without and with foreign keys. */
export const bareNames = ['bare writes', 'bare writes, foreign keys'] as const
export type ContenderName = PeerName | (typeof bareNames)[number]

/** A contender in its own process. Calls go over IPC to `contenders/<file>`, see `harness/contract.d.ts`. */
export interface Contender {
  readonly name: ContenderName
  readonly database: Database
  call<M extends keyof Calls>(method: M, args: Calls[M]['args']): Promise<Calls[M]['answer']>
  /** Stands still until it is resumed, in the middle of whatever it does. */
  pause(): void
  resume(): void
  stop(): Promise<void>
}

/** How jobs hang together. Peers without an order of their own run `single` only. */
export type Shape = 'single' | 'chain' | 'fan'

/** What a contender's file can be asked to do. */
export interface Calls {
  /** Makes its schema. */
  prepare: { args: Record<string, never>; answer: null }
  /** Stores that many missions (or jobs) that do nothing, as fast as it can; not measured. */
  fill: { args: { missions: number; shape: Shape }; answer: null }
  /** Works until all that is stored is done and recorded. Answers the milliseconds from the start of the worker. */
  drain: { args: { steps: number }; answer: { ms: number } }
  /** The same beside other processes, until nothing is left. Answers how many steps were its own. */
  share: { args: Record<string, never>; answer: { steps: number } }
  /** Starts a worker that waits for work. */
  watch: { args: Record<string, never>; answer: null }
  /** Adds single jobs one at a time, each committed, and answers for each the milliseconds from commit to its handler. */
  pickup: { args: { samples: number; pauseMs: number }; answer: number[] }
  /** Adds jobs one commit each, over that many connections at once. Answers the milliseconds. */
  add: { args: { jobs: number; connections: number }; answer: { ms: number } }
}

/** Subjects measured by the same yardstick. */
export interface Table {
  readonly metric: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly subjects: readonly Subject[]
  /** Verdicts on what was to be reached, in words. */
  readonly goals?: readonly Goal[]
}

export interface Subject {
  readonly name: string
  /** One number for each round; none when it is missing. */
  readonly rounds: readonly number[]
  /** Why there is nothing. */
  readonly missing?: string | undefined
}

export interface Goal {
  readonly goal: string
  readonly measured: string
  readonly reached: boolean
}

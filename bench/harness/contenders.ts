import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { access } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { Calls, Contender, ContenderName, Database } from './types.js'

/** The file of each contender and the setting that it runs with. */
const files: Record<ContenderName, { file: string; setting: string }> = {
  'ops-loop': { file: 'ops-loop.ts', setting: 'default' },
  'graphile-worker, best': { file: 'graphile-worker.mjs', setting: 'best' },
  'graphile-worker': { file: 'graphile-worker.mjs', setting: 'default' },
  'pg-boss, best': { file: 'pg-boss.mjs', setting: 'best' },
  dbos: { file: 'dbos.mjs', setting: 'best' },
  openworkflow: { file: 'openworkflow.mjs', setting: 'best' },
  absurd: { file: 'absurd.mjs', setting: 'best' },
  pgflow: { file: 'pgflow.mjs', setting: 'best' },
  'bare writes': { file: 'bare.ts', setting: 'alone' },
  'bare writes, foreign keys': { file: 'bare.ts', setting: 'keys' },
}

/** What some peers need; the rest run on whatever runs the bench. All contenders of one run share one Node. */
const NEWEST_NODE = [22, 18] as const

const answers: { [M in keyof Calls]: z.ZodType<Calls[M]['answer']> } = {
  prepare: z.null(),
  fill: z.null(),
  drain: z.object({ ms: z.number() }),
  share: z.object({ steps: z.number() }),
  watch: z.null(),
  pickup: z.array(z.number()),
  add: z.object({ ms: z.number() }),
}

const answerSchema = z.object({
  id: z.number(),
  value: z.unknown(),
  error: z.string().optional(),
})

/** Starts a contender's process. It answers calls until it is stopped. */
export async function startContender(name: ContenderName, database: Database): Promise<Contender> {
  const { file, setting } = files[name]
  const child = fork(path('../contenders/run.mjs'), [path(`../contenders/${file}`), setting], {
    execPath: await nodeForContenders(),
    execArgv: file.endsWith('.ts') ? ['--import', 'tsx'] : [],
    env: { ...process.env, BENCH_DATABASE_URL: database.url, NODE_NO_WARNINGS: '1' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  return new Child(name, database, child)
}

async function nodeForContenders(): Promise<string> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > NEWEST_NODE[0] || (major === NEWEST_NODE[0] && minor >= NEWEST_NODE[1])) return process.execPath
  const installed = path('../node_modules/node/bin/node')
  return access(installed).then(
    () => installed,
    () => process.execPath,
  )
}

function path(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url))
}

class Child implements Contender {
  #lastId = 0
  #complaints = ''
  readonly #waiting = new Map<
    number,
    { resolve(answer: z.infer<typeof answerSchema>): void; reject(error: Error): void }
  >()

  constructor(
    readonly name: ContenderName,
    readonly database: Database,
    private readonly child: ChildProcess,
  ) {
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#complaints = (this.#complaints + chunk.toString()).slice(-4000)
    })
    child.on('message', (message) => {
      const answer = answerSchema.parse(message)
      this.#waiting.get(answer.id)?.resolve(answer)
      this.#waiting.delete(answer.id)
    })
    child.on('exit', (code, signal) => {
      const error = new Error(`its process ended (${signal ?? code}): ${this.#complaints.trim().slice(-400)}`)
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
    })
  }

  async call<M extends keyof Calls>(method: M, args: Calls[M]['args']): Promise<Calls[M]['answer']> {
    const { value, error } = await this.#ask(method, args)
    if (error !== undefined) throw new Error(error)
    return answers[method].parse(value)
  }

  pause(): void {
    this.child.kill('SIGSTOP')
  }

  resume(): void {
    this.child.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit')
      this.child.kill('SIGKILL')
      await ended
    }
    await this.database.drop()
  }

  #ask(method: string, args: unknown): Promise<z.infer<typeof answerSchema>> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      if (!this.child.connected) return reject(new Error(`its process has ended: ${this.#complaints.trim()}`))
      this.#waiting.set(id, { resolve, reject })
      this.child.send({ id, method, args })
    })
  }
}

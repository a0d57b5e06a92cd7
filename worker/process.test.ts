import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectEngine, type Engine } from '../engine/index.js'
import { freshDatabase, startRest, type TestDatabase, urlFor } from '../test/support/database.js'
import type { WorkerMainOptions } from './main.js'

/** A worker as the command line starts it: a process of its own, which is sent signals. */

const MAIN = pathToFileURL(join(import.meta.dirname, 'main.ts')).href
const PROGRAM = `
  import { workerMain } from ${JSON.stringify(MAIN)}
  process.exitCode = await workerMain(JSON.parse(process.argv[1])).catch((error) => {
    console.error(error.code, error.message)
    return 1
  })
`

/** An executor that is done when a file appears, or fails when it is aborted. */
const GATE = `
  import { existsSync } from 'node:fs'
  import { setTimeout as sleep } from 'node:timers/promises'
  import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
  import { defineExecutor, done } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../executors/define.ts')).href)}
  export default defineExecutor({
    kind: 'gate',
    params: z.object({ file: z.string() }),
    async run({ params, signal }) {
      while (!existsSync(params.file)) await sleep(10, undefined, { signal })
      return done('through')
    },
  })
`

/** An executor that lets nothing else happen in its process until a file appears, and then goes on as others do. */
const BLOCK = `
  import { existsSync } from 'node:fs'
  import { setTimeout as sleep } from 'node:timers/promises'
  import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
  import { defineExecutor, done } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../executors/define.ts')).href)}
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  export default defineExecutor({
    kind: 'block',
    params: z.object({ file: z.string() }),
    async run({ params, signal }) {
      while (!existsSync(params.file)) Atomics.wait(nothing, 0, 0, 10)
      await sleep(50, undefined, { signal })
      return done('through')
    },
  })
`

/** An executor that never ends and never looks at its signal. */
const DEAF = `
  import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
  import { defineExecutor } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../executors/define.ts')).href)}
  export default defineExecutor({
    kind: 'deaf',
    params: z.unknown(),
    run: () => new Promise(() => setInterval(() => {}, 1000)),
  })
`

/** An executor that forgets a promise, which fails while another step is under way. */
const CARELESS = `
  import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
  import { defineExecutor, done } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../executors/define.ts')).href)}
  export default defineExecutor({
    kind: 'careless',
    params: z.unknown(),
    async run() {
      void Promise.reject(new Error('nobody waits for me'))
      process.once('beforeExit', () => void Promise.reject(new Error('not even now: ' + process.env.CARELESS_TOKEN)))
      return done('left it behind')
    },
  })
`

interface StartOptions {
  ipc?: boolean
  url?: string
  env?: Record<string, string>
}

let folder: string
let database: TestDatabase
let control: Engine
let children: ChildProcess[]

beforeEach(async () => {
  children = []
  folder = await mkdtemp(join(tmpdir(), 'ops-loop-worker-'))
  await writeFile(join(folder, 'gate.ts'), GATE)
  await writeFile(join(folder, 'deaf.ts'), DEAF)
  await writeFile(join(folder, 'block.ts'), BLOCK)
  await writeFile(join(folder, 'careless.ts'), CARELESS)
  database = await freshDatabase()
  control = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  await database.sql`
    update ops_policy set value = value || '{"allowed_step_kinds": ["noop", "gate", "deaf", "block", "careless"]}' where key = 'auto_approve'`
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await control.close()
  await database.drop()
  await rm(folder, { recursive: true })
})

function start(
  options: WorkerMainOptions,
  { ipc = false, url = urlFor(database, 'ops_worker'), env = {} }: StartOptions = {},
) {
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', PROGRAM, JSON.stringify(options)],
    {
      cwd: folder,
      env: { PATH: process.env.PATH, DATABASE_URL: url, ...env },
      stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? ['ipc' as const] : [])],
    },
  )
  children.push(child)
  const output = { stdout: '', stderr: '' }
  const heard = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      for (const listener of heard) listener()
    })
  }
  // Not the event `close`, which does not come after a disconnect.
  const ended = [child.stdout, child.stderr].map((stream) => stream && once(stream, 'close'))
  const exited = Promise.all([once(child, 'exit'), ...ended]).then(([[code]]) => code)
  /** Settles when the worker has logged this. */
  const says = (text: string) =>
    new Promise<void>((resolve) => {
      const listener = () => output.stderr.includes(text) && resolve()
      heard.add(listener)
      listener()
    })
  return { child, output, exited, says }
}

const gated = async (steps: number) => {
  const { mission_id } = await control.createProposal({
    source: 'test',
    template: {
      title: 'Gated',
      risk_level: 'low',
      steps: Array.from({ length: steps }, () => ({ kind: 'gate', params: { file: join(folder, 'open') } })),
    },
  })
  return mission_id ?? ''
}

const statuses = async (mission_id: string) => {
  const steps = await control.listSteps({ mission_id })
  return steps.toSorted((a, b) => a.key.localeCompare(b.key)).map(({ status }) => status)
}

async function running(mission_id: string): Promise<void> {
  while ((await statuses(mission_id))[0] !== 'running')
    await new Promise((resolve) => setTimeout(resolve, 20))
}

async function allRunningForLongerThan(seconds: number): Promise<boolean> {
  const [row] = await database.sql`
    select coalesce(bool_and(status = 'running' and reserved_at < now() - ${seconds} * interval '1 second'), false) as all
    from ops_mission_steps`
  return row?.all === true
}

const openGate = () => writeFile(join(folder, 'open'), '')

describe('a worker process', () => {
  it('says that there are no queued steps, and ends', async () => {
    const { output, exited } = start({})
    expect(await exited).toBe(0)
    expect(output.stdout).toBe('No queued steps\n')
  })

  it("runs steps, also with a user's own executor, and says what came of them", async () => {
    await openGate()
    const id = await gated(2)
    const { output, exited } = start({ executors: folder })
    expect(await exited).toBe(0)
    expect(output.stdout).toBe('2 steps: 2 succeeded\n')
    expect(await statuses(id)).toEqual(['succeeded', 'succeeded'])
  })

  it('outlives a promise that an executor left behind and that fails, and so do its other steps', async () => {
    const id = await gated(1)
    const template = { title: 'Careless', risk_level: 'low', steps: [{ kind: 'careless' }] } as const
    const env = { CARELESS_TOKEN: 'swordfish' }
    const { child, exited, output, says } = start({ watch: true, executors: folder }, { env })
    await running(id)
    const { mission_id } = await control.createProposal({ source: 'test', template })
    await says('nobody waits for me')
    await openGate()
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    // Also after its end, when one would have been printed by Node, with all that is in it.
    expect(output.stderr).toContain('not even now: [masked]')
    expect(await statuses(id)).toEqual(['succeeded'])
    expect(await statuses(mission_id ?? '')).toEqual(['succeeded'])
  })

  it('ends with 1 and says what to set when it does not know its database', async () => {
    const { output, exited } = start({}, { url: '' })
    expect(await exited).toBe(1)
    expect(output.stderr).toContain('OPS_001')
    expect(output.stderr).toContain('DATABASE_URL')
  })

  it('ends with 1 when its folder of executors is missing', async () => {
    const { output, exited } = start({ executors: join(folder, 'missing') })
    expect(await exited).toBe(1)
    expect(output.stderr).toContain('OPS_011')
    expect(output.stderr).toContain(join(folder, 'missing'))
  })

  it('finishes what is under way on SIGTERM, claims nothing more, and ends with 0', async () => {
    const id = await gated(2)
    const { child, exited, says } = start({ watch: true, executors: folder })
    await running(id)
    child.kill('SIGTERM')
    await says('SIGTERM: finishing')
    await openGate()
    expect(await exited).toBe(0)
    expect(await statuses(id)).toEqual(['succeeded', 'queued'])
  })

  it('hands its steps back on a second SIGTERM, which costs no failure', async () => {
    const id = await gated(2)
    const { child, exited, says } = start({ watch: true, executors: folder })
    await running(id)
    child.kill('SIGTERM')
    await says('SIGTERM: finishing')
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(await control.listSteps({ mission_id: id, status: 'queued' })).toMatchObject([
      { failure_count: 0, last_error: null },
    ])
  })

  it('ends although an executor that was timed out goes on for ever', async () => {
    // Dead at once: a wait of no time at all would bring it back while the worker is still there.
    const steps = [{ kind: 'deaf', timeout_seconds: 1, max_retries: 0 }]
    await control.createProposal({ source: 'test', template: { title: 'Deaf', risk_level: 'low', steps } })
    const { output, exited } = start({ executors: folder })
    expect(await exited).toBe(0)
    expect(output.stdout).toBe('1 step: 1 failed\n')
  })

  it('keeps its leases while an executor blocks the event loop for longer than they last', async () => {
    // Leases of eight seconds, which no policy may ask for.
    await database.sql.unsafe(`
      alter table ops_policy disable trigger user;
      update ops_policy set value = value || '{"lease_minutes": 0.13334}' where key = 'worker_policy';
      alter table ops_policy enable trigger user;`)
    const rest = await startRest(database)
    const steps = [1, 2].map(() => ({
      kind: 'block',
      params: { file: join(folder, 'open') },
      depends_on: [],
    }))
    await control.createProposal({ source: 'test', template: { title: 'Block', risk_level: 'low', steps } })
    const supabase = {
      DATABASE_URL: '',
      SUPABASE_URL: rest.url,
      SUPABASE_SECRET_KEY: rest.keyFor('ops_worker'),
    }
    const workers = [
      start({ executors: folder, concurrency: 1 }),
      start({ executors: folder, concurrency: 1 }, { env: supabase }),
    ]
    // Who takes what has run out is asking all the time, until both would have.
    let expired = 0
    while (!(await allRunningForLongerThan(8.5))) {
      expired += (await control.recoverExpiredLeases()).requeued_steps
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await openGate()
    expect(await Promise.all(workers.map(({ exited }) => exited))).toEqual([0, 0])
    expect(expired).toBe(0)
    expect(workers.map(({ output }) => output.stdout)).toEqual(Array(2).fill('1 step: 1 succeeded\n'))
    expect(await control.listSteps()).toMatchObject(Array(2).fill({ status: 'succeeded', attempt: 1 }))
  })

  it('finishes what is under way when its supervisor is gone', async () => {
    const id = await gated(2)
    const { child, exited, says } = start({ watch: true, executors: folder }, { ipc: true })
    await running(id)
    child.disconnect()
    await says('the supervisor is gone')
    await openGate()
    expect(await exited).toBe(0)
    expect(await statuses(id)).toEqual(['succeeded', 'queued'])
  })

  it('leaves Ctrl-C to its supervisor', async () => {
    const id = await gated(1)
    const { child, exited, says, output } = start({ watch: true, executors: folder }, { ipc: true })
    await running(id)
    child.kill('SIGINT')
    child.kill('SIGTERM')
    await says('SIGTERM: finishing')
    await openGate()
    expect(await exited).toBe(0)
    expect(output.stderr).not.toContain('SIGINT')
  })
})

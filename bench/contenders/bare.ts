/**
 * Not a peer but a floor: the five rows that a step writes, in bare tables, claimed and completed by 500 through postgres.js, the next
 * claim under way while results are recorded. Setting `keys` adds the two foreign keys that hold such rows together.
 */
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { z } from 'zod'
import type { Calls } from '../harness/types.js'
import { paced } from './support.mjs'

const BATCH = 500
const CHANNEL = 'bare_steps'
const KEYS = `
  alter table run add foreign key (step_id) references step;
  alter table event add foreign key (mission_id) references mission`

type Contract = Pick<
  { [M in keyof Calls]: (args: Calls[M]['args']) => Promise<unknown> },
  'prepare' | 'fill' | 'drain' | 'watch' | 'pickup'
>

const leaseSchema = z.object({ id: z.string(), token: z.string(), run_at: z.string() })
type Lease = z.infer<typeof leaseSchema>

export default function bare({ url, setting }: { url: string; setting: string }): Contract {
  const connect = () => postgres(url, { max: 1, onnotice: () => undefined })
  const [claims, completions, adds] = [connect(), connect(), connect()]
  let onStart = (_at: number) => {}

  const claim = async (past?: Lease) => {
    const rows = await claims`
      select id, token, run_at from claim(${BATCH}::int, ${past?.run_at ?? '-infinity'}::text::timestamptz,
        ${past?.id ?? '00000000-0000-0000-0000-000000000000'}::text::uuid)`
    return leaseSchema.array().parse(rows)
  }

  const complete = async (leases: Lease[]) => {
    const ids = leases.map(({ id }) => id)
    const tokens = leases.map(({ token }) => token)
    const [row] = await completions<{ done: number }[]>`
      select complete(${ids}::uuid[], ${tokens}::uuid[], array_fill('{}'::jsonb, array[${leases.length}::int])) as done`
    return row?.done ?? 0
  }

  return {
    async prepare() {
      const schema = await readFile(new URL('bare.sql', import.meta.url), 'utf8')
      await adds.unsafe(setting === 'keys' ? schema + KEYS : schema)
    },

    async fill({ missions, shape }) {
      if (shape !== 'single') throw new Error('has no missions of several steps')
      await adds`
        with mission as (insert into mission select from generate_series(1, ${missions}::int) returning id)
        insert into step (mission_id) select id from mission`
    },

    async drain({ steps }) {
      const began = performance.now()
      let done = 0
      let recorded = Promise.resolve()
      for (let past: Lease | undefined; ; ) {
        const leases = await claim(past)
        await recorded
        if (leases.length === 0) break
        past = leases.at(-1)
        recorded = complete(leases).then((count) => {
          done += count
        })
      }
      const ms = performance.now() - began
      if (done !== steps) throw new Error(`${done} of ${steps} steps were done`)
      return { ms }
    },

    async watch() {
      await connect().listen(CHANNEL, async () => {
        const leases = await claim()
        if (leases.length === 0) return
        onStart(performance.now())
        await complete(leases)
      })
    },

    pickup({ samples, pauseMs }) {
      return paced(samples, pauseMs, async () => {
        const started = new Promise<number>((resolve) => {
          onStart = resolve
        })
        await adds`
          with mission as (insert into mission select returning id), step as (insert into step (mission_id) select id from mission)
          select pg_notify(${CHANNEL}, '')`
        const committed = performance.now()
        return Math.max(0, (await started) - committed)
      })
    },
  }
}

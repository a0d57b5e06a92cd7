/** Ops Loop as a contender: the engine and the worker as users get them. */
import postgres from 'postgres'
import { z } from 'zod'
import { connectEngine } from '../../engine/index.js'
import { defineExecutor, done } from '../../executors/define.js'
import { type MakeRenewer, RenewalLoop } from '../../worker/renewer.js'
import { renewInThread } from '../../worker/renewer-thread.js'
import { createWorker } from '../../worker/worker.js'
import { prepareOurs } from '../harness/server.js'
import type { Calls, Shape } from '../harness/types.js'
import { paced } from './support.mjs'

const BATCH = 5000
const CONCURRENCY = 500

/** What is answered is checked where it arrives. */
type Contract = { [M in keyof Calls]: (args: Calls[M]['args']) => Promise<unknown> }

export default function opsLoop({ url }: { url: string }): Contract {
  const engine = connectEngine({ databaseUrl: url, maxConnections: 20 })
  let onStart = (_at: number) => {}
  const executors = new Map([
    [
      'nothing',
      defineExecutor({
        kind: 'nothing',
        params: z.looseObject({}),
        async run() {
          onStart(performance.now())
          return done({})
        },
      }),
    ],
  ])
  const log = { debug() {}, info() {}, warn: console.error, error: console.error }
  const inProcess: MakeRenewer = (events) => new RenewalLoop(engine, log, events)
  const worker = (watch: boolean) =>
    createWorker({
      engine,
      executors,
      name: 'bench',
      version: '0',
      concurrency: CONCURRENCY,
      watch,
      log,
      makeRenewer: renewInThread({ databaseUrl: url, maxConnections: 1 }, inProcess, log),
    })

  return {
    prepare: async () => prepareOurs(url),

    async fill({ missions, shape }) {
      const sql = postgres(url, { max: 1, onnotice: () => undefined })
      for (let left = missions; left > 0; left -= BATCH) await store(sql, Math.min(left, BATCH), shape)
      await sql.end()
    },

    async drain({ steps }) {
      const began = performance.now()
      const summary = await worker(false).start()
      const ms = performance.now() - began
      if (summary.succeeded !== steps) throw new Error(`${summary.succeeded} of ${steps} steps succeeded`)
      return { ms }
    },

    async share() {
      const { succeeded } = await worker(false).start()
      return { steps: succeeded }
    },

    async watch() {
      void worker(true).start()
    },

    pickup({ samples, pauseMs }) {
      return paced(samples, pauseMs, async () => {
        const started = new Promise<number>((resolve) => {
          onStart = resolve
        })
        await engine.createProposal({ source: 'bench', template: templates.single })
        const committed = performance.now()
        return Math.max(0, (await started) - committed)
      })
    },

    async add({ jobs, connections }) {
      const began = performance.now()
      let left = jobs
      await Promise.all(
        Array.from({ length: connections }, async () => {
          while (left-- > 0) await engine.createProposal({ source: 'bench', template: templates.single })
        }),
      )
      return { ms: performance.now() - began }
    },
  }
}

const nothing = { kind: 'nothing' }
const templates: Record<
  Shape,
  { title: string; steps: { kind: string; key?: string; depends_on?: string[] }[] }
> = {
  single: { title: 'bench', steps: [nothing] },
  chain: { title: 'bench', steps: [nothing, nothing, nothing] },
  fan: {
    title: 'bench',
    steps: Array.from({ length: 10 }, (_, i) => ({ ...nothing, key: `part-${i}`, depends_on: [] })),
  },
}

/** Admitted missions as the gate leaves them, in one statement: how they got there is not what a drain measures. */
async function store(sql: postgres.Sql, missions: number, shape: Shape): Promise<void> {
  const template = sql.json(templates[shape])
  await sql`
    with template as materialized (
      select ${template}::jsonb as template, ops.template_digest(${template}::jsonb) as digest, ops.policy_snapshot() as snapshot
    ), proposal as (
      insert into ops_mission_proposals (source, status, template, approved_at, digest, code, reason, decided_at, decided_by, policy_snapshot)
      select 'bench', 'auto_approved', template, now(), digest, 'auto_approved', 'admitted by policy auto_approve', now(),
        'policy:auto_approve', snapshot
      from template, generate_series(1, ${missions}::int)
      returning id, digest, policy_snapshot
    ), decision as (
      insert into ops.decisions (proposal_id, decision, digest, actor, actor_context)
      select id, 'auto_approved', digest, 'policy:auto_approve', '{}' from proposal
    ), step as materialized (
      select s.* from template, ops.template_steps(template.template) s
    ), mission as (
      insert into ops_missions (proposal_id, policy_snapshot, title, source, steps_total, steps_open)
      select id, policy_snapshot, 'bench', 'bench', n, n from proposal, (select count(*)::int as n from step) steps
      returning id
    )
    insert into ops_mission_steps (mission_id, kind, params, status, executor, key, position, depends_on, revision)
    select m.id, s.kind, s.params, case when s.depends_on = '{}' then 'queued' else 'waiting' end::ops_step_status, s.executor, s.key,
      s.position, s.depends_on, 1
    from mission m, step s`
}

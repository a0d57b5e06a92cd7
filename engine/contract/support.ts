import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe } from 'vitest'
import { freshDatabase, type TestDatabase, urlFor } from '../../test/support/database.js'
import { startRest } from '../../test/support/rest.js'
import { type ClaimedStep, connectEngine, type Engine, type Lease, type ProposalTemplate } from '../index.js'

/** What a suite works with: an engine over one of the transports, and its database's owner for the preparations. */
export interface Scene {
  engine: Engine
  sql: TestDatabase['sql']
  /** Makes a policy hold exactly this value. */
  policy(key: string, value: Parameters<TestDatabase['sql']['json']>[0]): Promise<void>
  /** Proposes and, by `auto_approve`, starts a mission; answers its id. */
  mission(template: ProposalTemplate): Promise<string>
  /** Registers a worker and claims what these executors have to do. */
  claim(executors: string[], limit?: number): Promise<ClaimedStep[]>
}

/** The ways to the database: with prepared statements, without them as behind a transaction pooler, and over HTTP. */
const WAYS = {
  postgres: async (database: TestDatabase) =>
    connectEngine({ databaseUrl: urlFor(database, 'service_role') }),
  'postgres as if pooled': async (database: TestDatabase) =>
    connectEngine({ databaseUrl: `${urlFor(database, 'service_role')}?pgbouncer=true` }),
  supabase: async (database: TestDatabase) => {
    const rest = await startRest(database)
    return connectEngine({ supabaseUrl: rest.url, supabaseKey: rest.serviceKey })
  },
}

/** Runs the same tests over every way, each on a database of its own: what they promise is one contract. */
export function contract(name: string, suite: (scene: () => Scene) => void): void {
  describe.each(Object.entries(WAYS))(`${name} over %s`, (_, connect) => {
    let scene: Scene | undefined

    beforeAll(async () => {
      const database = await freshDatabase()
      scene = sceneOf(await connect(database), database)
      await scene.policy('auto_approve', { enabled: true, max_risk_level: 'low' })
      await scene.policy('proposal_caps', { daily_limit: 100_000, per_source: { capped: 0 } })
    })
    afterAll(() => scene?.engine.close())

    suite(() => {
      if (scene === undefined) throw new Error('the scene is set in beforeAll')
      return scene
    })
  })
}

function sceneOf(engine: Engine, { sql }: TestDatabase): Scene {
  return {
    engine,
    sql,
    async policy(key, value) {
      await sql`insert into public.ops_policy (key, value) values (${key}, ${sql.json(value)})
                on conflict (key) do update set value = excluded.value`
    },
    async mission(template) {
      const { mission_id, reason } = await engine.createProposal({ source: 'api', template })
      if (mission_id === null) throw new Error(`no mission: ${reason}`)
      return mission_id
    },
    async claim(executors, limit = 10) {
      const worker = { name: 'contract', version: '0.0.0', executors, concurrency: 1, schema_version: 9999 }
      const { worker_id } = await engine.registerWorker(worker)
      return engine.claimSteps({ worker_id, executors, limit, lease_seconds: 60 })
    },
  }
}

/** A name that nothing else in the database has. */
export const unique = (prefix: string): string => `${prefix}-${randomUUID().slice(0, 8)}`

/** A template that `auto_approve` admits: one step for each of the given, all by the same executor. */
export function template(
  executor: string,
  steps: Partial<ProposalTemplate['steps'][number]>[] = [{}],
): ProposalTemplate {
  return {
    title: `Contract of ${executor}`,
    risk_level: 'low',
    steps: steps.map((step) => ({ kind: executor, ...step })),
  }
}

export const lease = ({ step_id, token }: ClaimedStep): Lease => ({ step_id, token })

/** The only item of a list that must hold exactly one. */
export function only<T>(items: readonly T[]): T {
  const [item, ...rest] = items
  if (item === undefined || rest.length > 0) throw new Error(`expected one item, got ${items.length}`)
  return item
}

export const ISO = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?\+00:00$/
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

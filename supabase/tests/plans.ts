/** How the statements inside functions are run, as Postgres tells it to the session that runs them. */
import postgres from 'postgres'
import { z } from 'zod'
import { adminUrlFor, type TestDatabase } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'

interface PlanNode {
  'Node Type': string
  'Relation Name'?: string | undefined
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number | undefined
  'Rows Removed by Index Recheck'?: number | undefined
  'Rows Removed by Join Filter'?: number | undefined
  Plans?: PlanNode[] | undefined
}

const node: z.ZodType<PlanNode> = z.object({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  'Actual Rows': z.number(),
  'Actual Loops': z.number(),
  'Rows Removed by Filter': z.number().optional(),
  'Rows Removed by Index Recheck': z.number().optional(),
  'Rows Removed by Join Filter': z.number().optional(),
  get Plans() {
    return z.array(node).optional()
  },
})
const explained = z.object({ 'Query Text': z.string(), Plan: node })

/** One statement that was run, inside a function or not. */
export interface Ran {
  query: string
  /** Rows that all parts of its plan handed on or passed over. */
  rows: number
  /** Tables that were read from end to end. */
  scanned: string[]
}

/** The superuser's session, which tells how each statement is run. */
export interface Planner {
  sql: postgres.Sql
  /** All statements that were run since it was last asked, in the order in which they ended. */
  ran(): Ran[]
}

export async function openPlanner(db: Pick<TestDatabase, 'name'>): Promise<Planner> {
  let told: Ran[] = []
  const onnotice = ({ message }: postgres.Notice) => {
    const [, json] = message?.split(/^duration: [\d.]+ ms {2}plan:\n/) ?? []
    if (json === undefined) return
    const { 'Query Text': query, Plan } = explained.parse(JSON.parse(json))
    const nodes = all(Plan).filter((n) => n['Actual Loops'] > 0)
    const scanned = nodes.flatMap((n) => (n['Node Type'] === 'Seq Scan' ? (n['Relation Name'] ?? []) : []))
    told.push({ query, rows: nodes.reduce((sum, n) => sum + handled(n), 0), scanned })
  }
  const sql = postgres(adminUrlFor(db), { max: 1, onnotice })
  onFileEnd(() => sql.end())
  await sql`load 'auto_explain'`
  await sql`
    select set_config('auto_explain.' || name, value, false) from (values ('log_nested_statements', 'on'), ('log_analyze', 'on'),
      ('log_timing', 'off'), ('log_format', 'json'), ('log_level', 'notice'), ('log_min_duration', '0')) s(name, value)`
  return {
    sql,
    ran() {
      const since = told
      told = []
      return since
    },
  }
}

const all = (plan: PlanNode): PlanNode[] => [plan, ...(plan.Plans ?? []).flatMap(all)]

const handled = (n: PlanNode) =>
  n['Actual Loops'] *
  (n['Actual Rows'] +
    (n['Rows Removed by Filter'] ?? 0) +
    (n['Rows Removed by Index Recheck'] ?? 0) +
    (n['Rows Removed by Join Filter'] ?? 0))

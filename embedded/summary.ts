import type { Engine, Health } from '../engine/index.js'
import type { Colors } from './colors.js'
import type { Connection } from './connection.js'
import { nearby, shellPath } from './nearby.js'
import { shortId } from './shortId.js'
import { stackPaths } from './stackPaths.js'
import type { Totals } from './tally.js'

export interface Summary {
  /** Since the start. */
  totals: Totals
  /** What still waits, or is under way. */
  queues: Health['queues']
  urls: Record<'control_plane' | 'docs' | 'health' | 'postgrest' | 'database', string>
  /** The file that holds the keys and passwords. */
  connection_file: string
  /** Commands to try, and what they do. */
  next: { command: string; does: string }[]
}

type Addresses = Pick<Connection, 'OPS_API_URL' | 'SUPABASE_URL' | 'DATABASE_URL'>

export interface SummaryContext {
  engine: Pick<Engine, 'health' | 'listProposals' | 'listMissions'>
  stack: { dataDir: string; connection: Addresses }
  totals: Totals
  /** What commands need besides, to find this stack: empty, or `--data-dir …`. */
  commandOptions: string
}

const EXAMPLE = 'cli/examples/failed-workflow-run.json'

/** What to know, and to try, once the loop has gone quiet. */
export async function summarize({ engine, stack, totals, commandOptions }: SummaryContext): Promise<Summary> {
  const [{ queues }, [proposal], [mission]] = await Promise.all([
    engine.health(),
    engine.listProposals({ status: 'pending', canaries: false }, 1),
    // The monitor's canary may be the newest: it is nobody's work.
    engine.listMissions({ canaries: false }, 1),
  ])
  const command = (text: string) => ['npx ops-loop', text, commandOptions].filter(Boolean).join(' ')
  const next = [
    proposal && {
      command: command(`proposals approve ${shortId(proposal.id)}`),
      does: 'approve what waits for a person',
    },
    {
      command: command(`events emit github:workflow_run.completed --data @${EXAMPLE}`),
      does: 'report an event of your own',
    },
    mission && { command: command(`trace ${shortId(mission.id)}`), does: 'see why a mission was run' },
  ]
  return {
    totals,
    queues,
    urls: urlsOf(stack.connection),
    connection_file: nearby(stackPaths(stack.dataDir).connection),
    next: next.filter((entry) => entry !== undefined),
  }
}

function urlsOf({ OPS_API_URL, SUPABASE_URL, DATABASE_URL }: Addresses): Summary['urls'] {
  const database = new URL(DATABASE_URL)
  database.password = ''
  return {
    control_plane: OPS_API_URL,
    docs: `${OPS_API_URL}/docs`,
    health: `${OPS_API_URL}/health`,
    postgrest: `${SUPABASE_URL}/rest/v1/`,
    database: database.href,
  }
}

/** The summary for people. */
export function describeSummary(
  { totals, urls, connection_file, next, queues }: Summary,
  colors: Colors,
): string {
  const longest = Math.max(...next.map(({ command }) => command.length))
  return [
    '',
    colors.bold('The loop is quiet.'),
    ...happened(totals),
    `  left           ${left(queues)}`,
    '',
    colors.bold('Where it is'),
    `  control plane  ${urls.control_plane}`,
    `  docs, health   ${urls.docs}  ${urls.health}`,
    `  PostgREST      ${urls.postgrest}`,
    `  database       ${urls.database}`,
    `  keys           ${connection_file}  as in:  set -a; . ${shellPath(connection_file)}; psql "$DATABASE_URL"`,
    '',
    colors.bold('Try next, in another terminal'),
    ...next.map(
      ({ command, does }) => `  ${colors.cyan(command.padEnd(longest))}  ${colors.dim(`# ${does}`)}`,
    ),
    '',
  ].join('\n')
}

function happened({ events, answered, came_back, proposals, missions, steps }: Totals): string[] {
  if (events + came_back === 0) return []
  return [
    `  events         ${events} from outside, ${came_back} that came back; ${answered} answered by a pattern`,
    `  proposals      ${list(proposals)}`,
    `  missions       ${list(missions)}`,
    `  steps          ${list(steps)}`,
  ]
}

function left({ events, reactions, steps, steps_running, proposals_pending }: Health['queues']): string {
  const counts = {
    'events to match': events,
    'reactions to run': reactions,
    'steps queued': steps,
    'steps running': steps_running,
    'proposals waiting for approval': proposals_pending,
  }
  return list(Object.fromEntries(Object.entries(counts).filter(([, number]) => number > 0)))
}

function list(counts: Record<string, number>): string {
  const parts = Object.entries(counts).map(([word, number]) => `${number} ${word}`)
  return parts.length === 0 ? 'none' : parts.join(', ')
}

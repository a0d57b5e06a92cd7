import { Command, Option } from 'commander'
import { shortId } from '../../embedded/shortId.js'
import {
  type Engine,
  type MissionRecord,
  type MissionStatus,
  OpsError,
  type StepRecord,
} from '../../engine/index.js'
import { ALL_OPTION, idArgument, missionPages, NEWEST, wholeId } from '../ids.js'
import { wholeNumber } from '../numbers.js'
import { AS_OPTION, actorOf, withEngine } from '../session.js'
import { ago, count, fields, plain, short, table } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop missions list --status failed
  ops-loop missions show 3f2a91
  ops-loop missions cancel 3f2a91 --reason "no longer needed"`

const STATUSES = [
  'approved',
  'running',
  'succeeded',
  'failed',
  'cancelled',
] as const satisfies MissionStatus[]

interface ListOptions {
  status?: MissionStatus
  all?: boolean
  limit: number
}

export function missionsCommand(): Command {
  const missions = new Command('missions')
    .description('admitted proposals at work')
    .addHelpText('after', EXAMPLES)

  missions
    .command('list')
    .description('the newest missions')
    .addOption(new Option('--status <status>', 'only of this status').choices(STATUSES))
    .option(...ALL_OPTION)
    .option('--limit <n>', 'at most this many', wholeNumber(1, 200), 20)
    .action(({ status, all, limit }: ListOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const filter = { ...(status && { status }), ...(!all && { canaries: false }) }
        const rows = await engine.listMissions(filter, limit)
        answer(rows, () => table(['id', 'status', 'title', 'made'], rows.map(missionCells)))
      }),
    )

  missions
    .command('show')
    .description('a mission and its steps')
    .argument('<id>', 'of the mission, or its beginning or end', idArgument)
    .action((id: string, _options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const mission = await find(engine, id)
        const steps = (await engine.listSteps({ mission_id: mission.id }, NEWEST)).toReversed()
        answer({ ...mission, steps }, () => describe(mission, steps))
      }),
    )

  missions
    .command('cancel')
    .description('cancel what has not started; what runs is told to stop')
    .argument('<id>', 'of the mission, or its beginning or end', idArgument)
    .option(...AS_OPTION)
    .option('--reason <text>', 'kept with the mission')
    .action((id: string, options: { as?: string; reason?: string }, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const mission = await find(engine, id)
        const { reason } = options
        const outcome = await engine.cancelMission(mission.id, { actor: actorOf(options), reason })
        answer(
          outcome,
          () =>
            `mission ${mission.id} is ${outcome.status}: ${count(outcome.cancelled_steps, 'step')} cancelled`,
        )
      }),
    )
  return missions
}

/** @throws OpsError `OPS_013` */
async function find(engine: Engine, part: string): Promise<MissionRecord> {
  const id = await wholeId(part, 'mission', missionPages(engine))
  const [mission] = await engine.listMissions({ id }, 1)
  if (mission === undefined) throw new OpsError('OPS_013', `There is no mission ${id}.`)
  return mission
}

function missionCells({ id, status, title, created_at }: MissionRecord): string[] {
  return [shortId(id), status, short(title ?? '', 60), ago(created_at)]
}

function describe(mission: MissionRecord, steps: StepRecord[]): string {
  const facts = fields({
    id: mission.id,
    title: mission.title,
    status: mission.status,
    proposal: mission.proposal_id,
    made: ago(mission.created_at),
    completed: mission.completed_at === null ? undefined : ago(mission.completed_at),
    reason: plain(mission.end_reason),
  })
  const rows = steps.map(({ id, key, kind, status, failure_count, last_error, result }) => [
    shortId(id),
    key,
    kind,
    status,
    String(failure_count),
    short(last_error ?? plain(result), 70),
  ])
  return `${facts}\n\n${table(['step', 'key', 'kind', 'status', 'failures', 'result'], rows)}`
}

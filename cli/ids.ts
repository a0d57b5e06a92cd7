import { InvalidArgumentError } from 'commander'
import { type Engine, type MissionRecord, OpsError } from '../engine/index.js'
import { proposalStatus } from '../engine/types/proposals.js'
import { missionStatus, stepStatus } from '../engine/types/steps.js'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const PART = /^[0-9a-f-]{4,36}$/

/** For commander: a whole id, or at least four characters of its beginning or end. */
export function idArgument(text: string): string {
  const id = text.toLowerCase()
  if (PART.test(id)) return id
  throw new InvalidArgumentError('Give an id, or at least four characters of its beginning or end.')
}

/** The newest rows of one kind. */
export type List<Row extends { id: string } = { id: string }> = () => Promise<Row[]>

/** Where parts of ids are looked for. */
export interface Pages<Row extends { id: string } = { id: string }> {
  newest: List<Row>[]
  /** What lists of the command line show besides: rows that are old and still wait for somebody. Asked where the newest do not fit. */
  older: List<Row>[]
}

/**
 * The whole id that a part stands for, among the newest rows, and the newest of each status. A whole id is taken as it is, however old.
 *
 * @param what for the error, such as `proposal`
 * @throws OpsError `OPS_013` when there is none, `OPS_011` when there are several
 */
export async function wholeId(part: string, what: string, ...pages: Pages[]): Promise<string> {
  if (UUID.test(part)) return part
  const newest = await fitting(
    part,
    pages.flatMap((page) => page.newest),
  )
  const fits =
    newest.length > 0
      ? newest
      : await fitting(
          part,
          pages.flatMap((page) => page.older),
        )
  const [only, ...others] = fits
  if (only === undefined) {
    throw new OpsError(
      'OPS_013',
      `No ${what} among the newest has an id that begins or ends with "${part}".`,
      {
        hint: 'Give the whole id: lists show it with --json.',
      },
    )
  }
  if (others.length > 0) {
    throw new OpsError(
      'OPS_011',
      `"${part}" may be any of ${fits.length} ids: ${fits.slice(0, 5).join(', ')}`,
      {
        hint: 'Give more of it.',
      },
    )
  }
  return only
}

/** Events but for those that the loop makes to watch itself. */
export const WITHOUT_ITSELF = { heartbeats: false, canaries: false } as const

/** The option of lists that leave that out. */
export const ALL_OPTION = ['--all', 'with what the loop does to watch itself: heartbeats, canaries'] as const

// An idle loop would fill a page with what it does to watch itself: the newest beside that, and the newest of all.

export const eventPages = (engine: Engine): Pages => ({
  newest: [
    () => engine.listEvents(WITHOUT_ITSELF, NEWEST),
    () => engine.listEvents({ heartbeats: false }, NEWEST),
  ],
  older: [],
})

export const proposalPages = (engine: Engine): Pages => ({
  newest: [() => engine.listProposals({ canaries: false }, NEWEST), () => engine.listProposals({}, NEWEST)],
  older: proposalStatus.options.map(
    (status) => () => engine.listProposals({ status, canaries: false }, NEWEST),
  ),
})

export const missionPages = (engine: Engine): Pages<MissionRecord> => ({
  newest: [() => engine.listMissions({ canaries: false }, NEWEST), () => engine.listMissions({}, NEWEST)],
  older: missionStatus.options.map(
    (status) => () => engine.listMissions({ status, canaries: false }, NEWEST),
  ),
})

export const stepPages = (engine: Engine): Pages => ({
  newest: [() => engine.listSteps({}, NEWEST)],
  older: stepStatus.options.map((status) => () => engine.listSteps({ status }, NEWEST)),
})

export const alertPages = (engine: Engine): Pages => ({
  newest: [() => engine.listAlerts({}, NEWEST)],
  older: [() => engine.listAlerts({ status: 'open' }, NEWEST)],
})

/** How far back parts of ids are looked for: the longest page that lists have. */
export const NEWEST = 200

async function fitting(part: string, lists: List[]): Promise<string[]> {
  const rows = (await Promise.all(lists.map((list) => list()))).flat()
  const ids = [...new Set(rows.map(({ id }) => id))]
  return ids.filter((id) => id.startsWith(part) || id.endsWith(part))
}

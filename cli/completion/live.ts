import { shortId } from '../../embedded/shortId.js'
import { type Engine, engineFromEnv, readEnv } from '../../engine/index.js'
import { policyKeys } from '../../policies/index.js'
import { findDatabase, type GlobalOptions } from '../connection.js'
import { WITHOUT_ITSELF } from '../ids.js'
import { plain, short } from '../text.js'
import type { Candidate } from './candidates.js'

/** As many as somebody would look through. */
const MOST = 30

/** A shell does not wait for a database that is away, in milliseconds. */
const PATIENCE_MS = 3000

type Ask = (engine: Engine) => Promise<Candidate[]>

const proposals =
  (status?: 'pending'): Ask =>
  async (engine) =>
    (await engine.listProposals(status ? { status } : { canaries: false }, MOST)).map(({ id, title }) =>
      row(id, title),
    )
const missions =
  (...statuses: string[]): Ask =>
  async (engine) =>
    (await engine.listMissions({ canaries: false }, MOST)).flatMap(({ id, title, status }) =>
      statuses.length === 0 || statuses.includes(status) ? [row(id, title)] : [],
    )
const deadSteps: Ask = async (engine) =>
  (await engine.listSteps({ status: 'failed' }, MOST)).map(({ id, key, last_error }) =>
    row(id, `${key}: ${last_error ?? ''}`),
  )
const steps: Ask = async (engine) =>
  (await engine.listSteps({}, MOST)).map(({ id, key, status }) => row(id, `${key} ${status}`))
const openSteps: Ask = async (engine) => {
  const lists = await Promise.all([
    engine.listSteps({ status: 'running' }, MOST),
    engine.listSteps({ status: 'queued' }, MOST),
  ])
  return lists.flat().map(({ id, key, kind }) => row(id, `${key} ${kind}`))
}
const events: Ask = async (engine) =>
  (await engine.listEvents(WITHOUT_ITSELF, MOST)).map(({ id, type }) => row(id, type))

const NAMES: Readonly<Record<string, Ask>> = {
  'proposals show': proposals(),
  'proposals approve': proposals('pending'),
  'proposals reject': proposals('pending'),
  'missions show': missions(),
  'missions cancel': missions('approved', 'running'),
  'events show': events,
  'steps show': steps,
  'steps retry': deadSteps,
  'steps cancel': openSteps,
  trace: events,
  why: events,
}

/** Names out of the database; none where it cannot be asked. Policies are known without. */
export async function liveNames(command: string, options: GlobalOptions): Promise<Candidate[]> {
  if (/^policy /.test(command)) return policyKeys.map((word) => ({ word, about: 'policy' }))
  const ask = NAMES[command]
  if (ask === undefined) return []
  const none = new Promise<Candidate[]>((resolve) => setTimeout(resolve, PATIENCE_MS, []).unref())
  return Promise.race([asked(ask, options), none]).catch(() => [])
}

async function asked(ask: Ask, options: GlobalOptions): Promise<Candidate[]> {
  await findDatabase(options)
  const engine = engineFromEnv(readEnv())
  try {
    return await ask(engine)
  } finally {
    await engine.close()
  }
}

function row(id: string, about: unknown): Candidate {
  return { word: shortId(id), about: short(plain(about), 60) }
}

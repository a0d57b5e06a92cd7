import { settle } from '../api/trigger.js'
import type { PendingEvent } from '../engine/index.js'
import {
  type CompiledMatrix,
  canaryMatrix,
  compileMatrix,
  isCanaryEvent,
  matchEvent,
} from '../policies/index.js'
import { agendaOf, type Deed, type Item, inOrder, OWN } from './agenda.js'
import type { SimulatedDatabase } from './database.js'
import type { EventLine, Line } from './lines.js'
import type { Recording } from './recording.js'
import { MINUTE, type Micros, microsOf, textOf } from './time.js'

/** Policies to try, by their key, in place of those that were in force. */
export type Candidate = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** How many rows one call takes. */
const PORTION = 500

/** Groups of gate passes end at quarters of an hour, where days begin in every time zone. */
const QUARTER = 15 * MINUTE

/**
 * Plays a recording again in a database in memory. From the recording's `from` on, the candidate's policies stand in place
 * of those in force; without a candidate, all happens as it did.
 */
export async function replay(
  db: SimulatedDatabase,
  recording: Recording,
  candidate: Candidate,
  onProgress: (part: number) => void = () => {},
): Promise<void> {
  await new Replay(db, recording, candidate).run(onProgress)
}

class Replay {
  private readonly recorded: Item[]
  /** What only the simulation brings about, in order. */
  private readonly added: Item[] = []
  private readonly data = new Map<string, Readonly<Record<string, unknown>>>()
  private readonly policies = new Map<string, { value: unknown; version: number }>()
  private readonly matrices = new Map<number, CompiledMatrix>()
  /** Events that nobody recorded the settling of: for the next beat. */
  private readonly unsettled = new Set<string>()
  private readonly durations: ReadonlyMap<string, Micros>
  private readonly beats: boolean
  /** Reactions whose pass through the gate is recorded. */
  private readonly gated: ReadonlySet<string>
  private readonly reactionsOf: ReadonlyMap<string, number>
  /** Whether something waits for the gate that did not wait then. */
  private extra = false
  private madeMissions = false
  private madeEvents = false
  private readonly differs: boolean
  private now: Micros = 0

  constructor(
    private readonly db: SimulatedDatabase,
    private readonly recording: Recording,
    private readonly candidate: Candidate,
  ) {
    const { lines, from } = recording
    const events = lines.flatMap((line) => (line.kind === 'event' ? line : []))
    for (const { id = '', data } of events) this.data.set(id, data)
    this.reactionsOf = new Map(events.map(({ id = '', reactions }) => [id, reactions.length]))
    this.gated = new Set(
      events.flatMap(({ id = '', reactions }) => reactions.map(({ pattern_id }) => keyOf(id, pattern_id))),
    )
    this.beats = lines.some((line) => line.kind === 'beat' || (line.kind === 'event' && line.verdict))
    this.durations = durationsOf(lines)
    this.differs = Object.keys(candidate).length > 0
    this.recorded = agendaOf(lines).concat(
      Object.entries(candidate).map(([key, value]) => ({ at: from, do: 'policy', key, value, version: -1 })),
    )
    this.recorded.sort(inOrder)
  }

  async run(onProgress: (part: number) => void): Promise<void> {
    const { lines, policies, from } = this.recording
    await this.db.sim('learn', ['jsonb', knowledgeOf(lines)])
    const begin = Math.min(from, this.recorded[0]?.at ?? from)
    this.setClock(begin)
    for (const { key, value, version } of policies) await this.putPolicy(key, value, version)
    let position = 0
    for (;;) {
      // Before time goes on: what nobody recorded is to end in its own time.
      if (this.madeMissions && (this.differs || !this.beats)) await this.catchUp()
      const known = this.recorded[position]
      const [own] = this.added
      if (own && (!known || inOrder(own, known) <= 0)) {
        this.added.shift()
        await this.play([own])
        continue
      }
      if (!known) {
        if (this.madeEvents || this.madeMissions) await this.catchUp()
        if (this.added.length === 0) return
        continue
      }
      const group = groupAt(this.recorded, position, own)
      position += group.length
      await this.play(group)
      onProgress(position / this.recorded.length)
    }
  }

  private async play(group: readonly Item[]): Promise<void> {
    const [first] = group
    const last = group[group.length - 1]
    if (!first || !last) return
    this.setClock(last.at)
    switch (first.do) {
      case 'policy':
        return this.changePolicy(first)
      case 'event':
        return this.report(group.flatMap((item) => (item.do === 'event' ? item.event : [])))
      case 'settle':
        return this.settle(
          group.flatMap((item) => (item.do === 'settle' ? item.event_id : [])),
          first.version,
        )
      case 'gate':
        return this.passGate(group.length)
      case 'expire':
        await this.db.engine.expireProposals(group.length)
        this.madeEvents = true
        return
      case 'beat':
        return this.beat()
      case 'start':
      case 'end':
      case 'end_mission':
      case 'reopen':
        return this.work(group)
      default:
        await this.decide(first)
    }
  }

  /** What workers and operators did about missions and steps. */
  private async work(group: readonly Item[]): Promise<void> {
    if (this.madeMissions) await this.catchUp()
    if (group.some((item) => item.do !== 'start')) this.madeEvents = true
    await this.db.sim('work', ['jsonb', group.map((item) => ({ ...item, at: textOf(item.at) }))])
  }

  /** What lets a proposal in, or ends a mission that nobody recorded. */
  private async decide(deed: Extract<Deed, { do: 'propose' | 'decide' | 'succeed' }>): Promise<void> {
    if (this.madeMissions) await this.catchUp()
    this.madeEvents = true
    switch (deed.do) {
      case 'succeed':
        await this.db.sim('succeed', ['uuid', deed.mission_id])
        return
      case 'decide':
        await this.db.sim('decide', ['jsonb', deed.decision])
        this.madeMissions = true
        return
      case 'propose':
        await this.db.sim('propose', ['jsonb', deed.proposal])
        this.madeMissions = true
    }
  }

  private setClock(at: Micros): void {
    this.now = at
    this.db.setClock(at)
  }

  private async changePolicy({ key, value, version }: Extract<Deed, { do: 'policy' }>): Promise<void> {
    const own = Object.hasOwn(this.candidate, key)
    // What was changed later gives way to the candidate.
    if (own && version !== -1 && this.now >= this.recording.from) return
    await this.putPolicy(key, value, version === -1 ? (this.policies.get(key)?.version ?? 0) + 1 : version)
  }

  private async putPolicy(key: string, value: unknown, version: number): Promise<void> {
    await this.db.sim('put_policy', ['text', key], ['jsonb', value ?? null], ['integer', version])
    if (key === '*') this.policies.clear()
    else if (value === null || value === undefined) this.policies.delete(key)
    else this.policies.set(key, { value, version })
    if (key === 'reaction_matrix' && value) this.matrices.set(version, compileMatrix(value, { version }))
  }

  private async report(events: readonly (EventLine & { id: string })[]): Promise<void> {
    const rows = events.map(({ id, type, data, dedupe_key, created_at }) => ({
      id,
      type,
      data,
      dedupe_key,
      created_at,
    }))
    await this.db.sim('report_events', ['jsonb', rows])
    for (const { id, verdict } of events) if (!verdict && !this.beats) this.wait(id)
  }

  /** Leaves an event to the next beat; where none were recorded, there is one a minute. */
  private wait(eventId: string): void {
    this.unsettled.add(eventId)
    if (!this.beats) this.add({ at: (Math.floor(this.now / MINUTE) + 1) * MINUTE, do: 'beat' })
  }

  private add(item: Item): void {
    if (item.do === 'beat' && this.added.some(({ at, do: what }) => what === 'beat' && at === item.at)) return
    this.added.push(item)
    this.added.sort(inOrder)
  }

  private async settle(ids: readonly string[], version: number): Promise<void> {
    if (this.madeEvents || this.madeMissions) await this.catchUp()
    const events = (await this.db.sim('waiting_events', ['uuid[]', `{${ids.join()}}`])).map((row) =>
      this.pendingOf(row),
    )
    // Those that wait though they were settled then: reactions are paused.
    if (this.differs && events.length === 0) for (const id of ids) this.unsettled.add(id)
    if (events.length === 0) return
    const matrix = this.matrixFor(version)
    const context = {
      policies: Object.fromEntries([...this.policies].map(([key, { value }]) => [key, value])),
    }
    const items = events.map((event) => {
      // No operator's pattern sees it, whatever is tried.
      if (isCanaryEvent(event)) return matchEvent(canaryMatrix, event, { policies: {} })
      const { event_id, type } = event
      return matrix ? matchEvent(matrix, event, context) : { event_id, type, decisions: [], error: NO_MATRIX }
    })
    const settled = await settle(this.db.engine, matrix?.version ?? 0, items, { problems: [] })
    for (const { event_id, queued } of settled)
      if (queued !== (this.reactionsOf.get(event_id) ?? 0)) this.extra = true
  }

  private pendingOf(row: unknown): PendingEvent {
    const event = Object(row)
    return { ...event, data: event.data ?? this.data.get(event.event_id) ?? {} }
  }

  /** The matrix that was in force when the batch was read, which may have changed a moment before it was settled. */
  private matrixFor(version: number): CompiledMatrix | undefined {
    const current = this.policies.get('reaction_matrix')?.version
    const candidate = Object.hasOwn(this.candidate, 'reaction_matrix') && this.now >= this.recording.from
    return this.matrices.get(candidate || !this.matrices.has(version) ? (current ?? 0) : version)
  }

  /** Takes as many reactions through the gate as then, and those that did not wait then. */
  private async passGate(count: number): Promise<void> {
    const limit = count + (this.extra ? await this.strangers() : 0)
    for (let left = limit; left > 0; left -= PORTION) {
      const outcomes = await this.db.engine.runReactions(Math.min(left, PORTION))
      if (outcomes.length > 0) this.madeMissions = true
    }
    this.madeEvents = true
  }

  private async strangers(): Promise<number> {
    const queued = await this.db.sim('queued_reactions')
    return queued.filter((row) => !this.gated.has(keyOf(Object(row).event_id, Object(row).pattern_id))).length
  }

  /** What a beat does beside that which is recorded of it. */
  private async beat(): Promise<void> {
    if (this.madeEvents || this.madeMissions) await this.catchUp()
    if (this.unsettled.size > 0) {
      const ids = [...this.unsettled]
      this.unsettled.clear()
      for (let at = 0; at < ids.length; at += PORTION) {
        await this.settle(ids.slice(at, at + PORTION), this.policies.get('reaction_matrix')?.version ?? 0)
      }
    }
    if (this.extra) {
      const waiting = await this.strangers()
      if (waiting > 0) await this.passGate(0)
      else this.extra = false
    }
    if (this.differs || !this.beats) {
      if ((await this.db.engine.expireProposals(PORTION)) > 0) this.madeEvents = true
    }
  }

  private async catchUp(): Promise<void> {
    this.madeEvents = false
    this.madeMissions = false
    const [answer] = await this.db.sim('catch_up')
    const { events, missions } = Object(answer)
    for (const id of Array.isArray(events) ? events.map(String) : []) this.wait(id)
    for (const mission of Array.isArray(missions) ? missions : []) {
      const { id, kinds } = Object(mission)
      const lasting = (Array.isArray(kinds) ? kinds : []).reduce(
        (sum: Micros, kind: unknown) => sum + (this.durations.get(String(kind)) ?? MINUTE),
        0,
      )
      this.add({ at: this.now + lasting, do: 'succeed', mission_id: String(id) })
    }
  }
}

const NO_MATRIX = 'There is no policy "reaction_matrix": events are settled without any reaction.'

const keyOf = (eventId: unknown, patternId: unknown): string => `${eventId} ${patternId}`

/** What one call can do many of. */
const GROUPED: Partial<Record<Deed['do'], string>> = {
  event: 'event',
  settle: 'settle',
  gate: 'gate',
  expire: 'expire',
  start: 'work',
  end: 'work',
  end_mission: 'work',
  reopen: 'work',
}

/** Deeds that one call can do: the same kind, in a row, before anything that only the simulation does. */
function groupAt(items: readonly Item[], position: number, before: Item | undefined): Item[] {
  const [first, ...rest] = items.slice(position, position + PORTION)
  if (!first) return []
  const kind = GROUPED[first.do]
  if (kind === undefined) return [first]
  const group = [first]
  let last = first
  for (const item of rest) {
    if (GROUPED[item.do] !== kind || (before && inOrder(before, item) <= 0)) break
    if (item.do === 'event' && Math.floor(item.at / MINUTE) !== Math.floor(first.at / MINUTE)) break
    if (item.do === 'gate' && Math.floor(item.at / QUARTER) !== Math.floor(first.at / QUARTER)) break
    // A call settles its events in the order in which they came.
    if (
      item.do === 'settle' &&
      last.do === 'settle' &&
      (item.created < last.created || item.version !== last.version)
    )
      break
    group.push(item)
    last = item
  }
  return group
}

/** How long an attempt at each kind of step took: the median. */
function durationsOf(lines: readonly Line[]): Map<string, Micros> {
  const found = new Map<string, Micros[]>()
  const proposals = lines.flatMap((line) => {
    if (line.kind === 'proposal') return [line]
    return line.kind === 'event' ? line.reactions.flatMap(({ proposal }) => proposal ?? []) : []
  })
  for (const { kind, runs } of proposals.flatMap(({ mission }) => mission?.steps ?? [])) {
    const took = runs.map(({ started_at, completed_at }) => microsOf(completed_at) - microsOf(started_at))
    found.set(kind, [...(found.get(kind) ?? []), ...took])
  }
  return new Map(
    [...found].map(([kind, took]) => [kind, took.sort((a, b) => a - b)[took.length >> 1] ?? MINUTE]),
  )
}

/** What the database needs to know to tell recorded things when they come again. */
function knowledgeOf(lines: readonly Line[]) {
  const events = lines.flatMap((line) => (line.kind === 'event' ? line : []))
  const byReactions = events.flatMap(({ id, reactions }) =>
    reactions.flatMap(({ pattern_id, proposal }) => (proposal ? { event_id: id, pattern_id, proposal } : [])),
  )
  const byClients = lines.flatMap((line) =>
    line.kind === 'proposal' ? { event_id: null, pattern_id: null, proposal: line } : [],
  )
  const all = [...byReactions, ...byClients]
  return {
    proposals: all.map(({ event_id, pattern_id, proposal }) => ({
      id: proposal.id,
      event_id,
      pattern_id,
      mission_id: proposal.mission?.id,
    })),
    steps: all.flatMap(({ proposal: { mission } }) =>
      (mission?.steps ?? []).map(({ id, key, kind }) => ({ id, mission_id: mission?.id, key, kind })),
    ),
    events: events
      .filter(({ proposal_id, mission_id, run_id }) => proposal_id || mission_id || run_id)
      .map(({ id, type, created_at, proposal_id, mission_id, run_id, data }) => ({
        id,
        type,
        created_at,
        proposal_id,
        mission_id,
        run_id,
        ...(!OWN.test(type) && { data }),
      })),
  }
}

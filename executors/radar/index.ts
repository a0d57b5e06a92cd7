import { z } from 'zod'
import type { RadarStage } from '../../engine/types.js'
import { defineExecutor, done, type ExecutorContext } from '../define.js'

const stage = z.enum(['watching', 'validating', 'building', 'shipped']) satisfies z.ZodType<RadarStage>

const changeable = {
  title: z.string().min(1).max(300).describe('What is in demand.'),
  description: z.string().optional().describe('The same at length.'),
  stage: stage.optional().describe('How far it has come. A new item is `watching`.'),
  notes: z.string().optional().describe('Notes of your own.'),
  topic: z.string().optional().describe('What it is about.'),
  source_url: z.string().optional().describe('Where it was seen.'),
  evidence_snippet: z.string().optional().describe('What was said there.'),
  confidence: z.enum(['low', 'medium', 'high']).optional().describe('How sure it is.'),
}

const add = z.strictObject({
  action: z.literal('add').describe('Adds an item.'),
  ...changeable,
  entity: z.string().optional().describe('Whom it is about: a company, a project, a person.'),
  event_type: z.string().optional().describe('What happened there.'),
  impact_areas: z.array(z.string()).optional().describe('What it bears on.'),
  curator_name: z.string().optional().describe('Who noticed it.'),
})

const update = z.strictObject({
  action: z.literal('update').describe('Changes an item, or moves it on.'),
  id: z.uuid().describe('The item.'),
  ...changeable,
  title: changeable.title.optional().describe('What is in demand.'),
})

const list = z.strictObject({
  action: z.literal('list').describe('Lists items, the newest first.'),
  stage: stage.optional().describe('Only those of this stage.'),
  limit: z.number().int().min(1).max(200).optional().describe('At most so many.'),
})

/** Keeps the demand radar, `ops_demand_radar`: add a signal, move it on, list what is there. */
export default defineExecutor({
  kind: 'radar',
  params: z.discriminatedUnion('action', [add, update, list]),
  async run({ params, ...context }) {
    switch (params.action) {
      case 'add':
        return addItem({ ...context, params })
      case 'update':
        return updateItem({ ...context, params })
      case 'list':
        return done({ items: await context.engine.radarList(params.stage, params.limit) })
    }
  },
})

async function addItem({ params, engine, idempotencyKey, emit }: ExecutorContext<z.output<typeof add>>) {
  const { action: _, ...item } = params
  const added = await engine.radarAdd(item, idempotencyKey)
  // Also when an earlier attempt created the item: that attempt did not live to record its event.
  emit({
    type: `radar:${added.stage}`,
    data: { radar_id: added.id, title: item.title, stage: added.stage },
    dedupe_key: `radar:${idempotencyKey}`,
  })
  return done(added)
}

async function updateItem(context: ExecutorContext<z.output<typeof update>>) {
  const { params, engine, idempotencyKey, attempt, emit } = context
  const { action: _, id, ...changes } = params
  const updated = await engine.radarUpdate(id, changes)
  // A repeated attempt finds the stage already changed by the one before it.
  const moved = updated.previous_stage !== updated.stage || (changes.stage !== undefined && attempt > 1)
  if (moved) {
    emit({
      type: `radar:${updated.stage}`,
      data: { radar_id: id, stage: updated.stage, previous_stage: updated.previous_stage },
      dedupe_key: `radar:${idempotencyKey}`,
    })
  }
  return done(updated)
}

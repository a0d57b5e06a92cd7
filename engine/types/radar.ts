import { z } from 'zod'
import { id, timestamp } from './json.js'

export const radarStage = z.enum(['watching', 'validating', 'building', 'shipped'])
export type RadarStage = z.infer<typeof radarStage>

/** A signal worth watching. */
export interface RadarItem {
  title: string
  description?: string | undefined
  /** Default `watching`. */
  stage?: RadarStage | undefined
  notes?: string | undefined
  entity?: string | undefined
  event_type?: string | undefined
  topic?: string | undefined
  source_url?: string | undefined
  evidence_snippet?: string | undefined
  confidence?: 'low' | 'medium' | 'high' | undefined
  impact_areas?: string[] | undefined
  curator_name?: string | undefined
}

/** Fields that are left out stay as they are. */
export type RadarChanges = Partial<Omit<RadarItem, 'entity' | 'event_type' | 'impact_areas' | 'curator_name'>>

export const addedRadarItem = z.object({
  id,
  stage: radarStage,
  /** False when this step had added the item before. */
  created: z.boolean(),
})
export type AddedRadarItem = z.infer<typeof addedRadarItem>

export const updatedRadarItem = z.object({ id, stage: radarStage, previous_stage: radarStage })
export type UpdatedRadarItem = z.infer<typeof updatedRadarItem>

export const radarRecord = z.looseObject({
  id,
  title: z.string(),
  description: z.string().nullable(),
  stage: radarStage,
  notes: z.string().nullable(),
  created_at: timestamp,
  updated_at: timestamp,
})
export type RadarRecord = z.infer<typeof radarRecord>

metadata name = 'Alerts of drkit'
metadata description = 'Alerts when Microsoft reports an incident in a region, or a resource there is not available.'

import { tags as tagged } from '../types.bicep'

@description('Required. The prefix of every name.')
param namePrefix string

@description('Required. Email addresses to notify of an outage.')
param emails string[]

@description('Required. The regions to alert on, by the names that Service Health uses ("West Europe"). If empty, all regions.')
param regions string[]

@description('Required. The tags of the resources.')
param tags tagged

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${namePrefix}-oncall'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'drkit'
    emailReceivers: [
      for (address, index) in emails: {
        name: 'oncall-${index}'
        emailAddress: address
        useCommonAlertSchema: true
      }
    ]
  }
}

// Service Health uses the display names of regions. An incident of all regions names "Global".
resource serviceHealth 'Microsoft.Insights/activityLogAlerts@2026-01-01' = {
  name: '${namePrefix}-service-health'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    description: 'An incident of Azure, as Microsoft tells it: 10 to 60 minutes late.'
    scopes: [subscription().id]
    condition: {
      allOf: concat(
        [
          {
            field: 'category'
            equals: 'ServiceHealth'
          }
          {
            field: 'properties.incidentType'
            equals: 'Incident'
          }
        ],
        empty(regions)
          ? []
          : [
              {
                field: 'properties.impactedServices[*].ImpactedRegions[*].RegionName'
                containsAny: union(regions, ['Global'])
              }
            ]
      )
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: people.id
        }
      ]
    }
  }
}

resource resourceHealth 'Microsoft.Insights/activityLogAlerts@2026-01-01' = {
  name: '${namePrefix}-resource-health'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    description: 'A resource is not available, and nobody of yours did it.'
    scopes: [subscription().id]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'ResourceHealth'
        }
        {
          field: 'properties.currentHealthStatus'
          equals: 'Unavailable'
        }
        {
          field: 'properties.cause'
          equals: 'PlatformInitiated'
        }
      ]
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: people.id
        }
      ]
    }
  }
}

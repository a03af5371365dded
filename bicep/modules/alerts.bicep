metadata name = 'Alerts of drkit'
metadata description = 'Tells people when Microsoft says that a region has trouble, or a resource there is not available.'

import { tags as tagged } from '../types.bicep'

@description('Required. The beginning of every name.')
param namePrefix string

@description('Required. Addresses that hear of it.')
param emails string[]

@description('Required. The regions to listen for, as people call them ("West Europe"); empty: all.')
param regions string[]

@description('Required. Tags.')
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

// Service Health names regions as people do. An incident of all regions names "Global".
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

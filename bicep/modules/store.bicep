metadata name = 'Store of drkit'
metadata description = 'A storage account with three copies in its region and more in another, without keys, with a container for each kind of file.'

import { tags as tagged } from '../types.bicep'

@description('Required. The globally unique name of the storage account.')
@minLength(3)
@maxLength(24)
param name string

@description('Required. The region of the storage account.')
param location string

@description('Required. Whether only the addresses and subnets below can reach the storage account.')
param restrictNetwork bool

@description('Required. Public IP addresses or ranges that can reach the storage account.')
param allowedIpRanges string[]

@description('Required. Ids of the subnets that can reach the storage account.')
param allowedSubnetIds string[]

@description('Required. The number of days for which the journal cannot be changed.')
param journalRetentionDays int

@description('Required. The id of the workspace that receives the access log.')
param workspaceId string

@description('Required. The tags of the resources.')
param tags tagged

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_GZRS'
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
    }
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: restrictNetwork ? 'Deny' : 'Allow'
      ipRules: [
        for range in allowedIpRanges: {
          action: 'Allow'
          value: range
        }
      ]
      virtualNetworkRules: [
        for subnet in allowedSubnetIds: {
          action: 'Allow'
          id: subnet
        }
      ]
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      isVersioningEnabled: true
      changeFeed: {
        enabled: true
      }
      deleteRetentionPolicy: {
        enabled: true
        days: 30
      }
      containerDeleteRetentionPolicy: {
        enabled: true
        days: 30
      }
    }

    resource journal 'containers' = {
      name: 'journal'
      properties: {
        publicAccess: 'None'
      }

      resource kept 'immutabilityPolicies' = {
        name: 'default'
        properties: {
          allowProtectedAppendWrites: true
          immutabilityPeriodSinceCreationInDays: journalRetentionDays
        }
      }
    }

    resource state 'containers' = {
      name: 'state'
      properties: {
        publicAccess: 'None'
      }
    }

    resource inbox 'containers' = {
      name: 'inbox'
      properties: {
        publicAccess: 'None'
      }
    }

    resource approvals 'containers' = {
      name: 'approvals'
      properties: {
        publicAccess: 'None'
      }
    }
  }
}

resource accessLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account::blobs
  name: 'drkit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'StorageRead'
        enabled: true
      }
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

@description('The address of the store.')
output address string = 'https://${account.name}.blob.${environment().suffixes.storage}'

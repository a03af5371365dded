using '../../bicep/main.bicep'

param location = 'northeurope'

param protectedRegions = ['westeurope', 'eastus']

param targets = [
  {
    region: 'southeastasia'
    resourceGroup: 'drkit-target-sea'
    users: ['11111111-1111-4111-8111-111111111111']
  }
  {
    region: 'westus2'
    resourceGroup: 'drkit-target-wus2'
  }
]

param namePrefix = 'dr'

param grants = [
  {
    role: 'approver'
    principalId: '22222222-2222-4222-8222-222222222222'
    principalType: 'Group'
  }
  {
    role: 'operator'
    principalId: '33333333-3333-4333-8333-333333333333'
    principalType: 'User'
  }
  {
    role: 'planner'
    principalId: '33333333-3333-4333-8333-333333333333'
    principalType: 'User'
  }
  {
    role: 'responder'
    principalId: '44444444-4444-4444-8444-444444444444'
    principalType: 'Group'
  }
  {
    role: 'group-creator'
    principalId: '33333333-3333-4333-8333-333333333333'
    principalType: 'User'
  }
]

param connections = [
  {
    role: 'planner'
    issuer: 'https://login.microsoftonline.com/00000000-0000-0000-0000-000000000002/v2.0'
    subject: '/eid1/c/pub/t/a/sc/planner'
  }
  {
    role: 'operator'
    issuer: 'https://login.microsoftonline.com/00000000-0000-0000-0000-000000000002/v2.0'
    subject: '/eid1/c/pub/t/a/sc/operator'
  }
]

param hostGroupIds = ['/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-hosts']

param withRunCommand = true

param planGroupIds = ['/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-plans']

param alertEmails = ['oncall@contoso.example', 'lead@contoso.example']

param alertRegionNames = ['West Europe', 'East US', 'Southeast Asia', 'West US 2']

param restrictNetwork = false

param allowedIpRanges = ['203.0.113.0/24']

param withGroupCreator = true

param warmAutomation = true

param warmCodespaces = true

param reservedSizes = ['Standard_D4s_v5']

param tags = {
  owner: 'platform'
}
